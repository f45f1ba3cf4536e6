//! Pipeline files, the stage graph, plans and executors.
