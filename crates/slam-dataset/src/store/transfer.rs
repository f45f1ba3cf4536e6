//! Objects in and out.

use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
};

use super::{Store, StoreError};
use slam_recipe::hash::Key;
use slam_recipe::name::ShardName;
use slam_recipe::publish::{self, PublishError, Staged};
use slam_recipe::receipt::Receipt;

/// Bytes of a part of a large object, and of the largest that is sent whole.
const PART_BYTES: usize = 16 << 20;
/// Receipts that are fetched at once.
const AT_ONCE: usize = 32;

impl Store {
    /// Pulls an object into the mirror; `false` where the store has none. The file is published whole or not at all.
    ///
    /// # Errors
    /// If the store or the disk refuses.
    pub fn pull(&self, mirror: &Path, relative: &Path) -> Result<bool, StoreError> {
        let target = mirror.join(relative);
        let staged = Staged::new(&target)?;
        let describe = |e| PublishError::new(&target, e);
        let mut file = File::create(staged.path()).map_err(describe)?;
        let found =
            self.read(relative, &mut |bytes| Ok(file.write_all(bytes).map_err(describe)?))?;
        drop(file);
        if found {
            staged.publish()?;
        }
        Ok(found)
    }

    /// The hash of an object, read in a stream; `None` where the store has none.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn hash(&self, relative: &Path) -> Result<Option<Key>, StoreError> {
        let mut hasher = blake3::Hasher::new();
        let found = self.read(relative, &mut |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(found.then(|| Key::of_digest(hasher.finalize().into())))
    }

    fn read(
        &self,
        relative: &Path,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let location = self.location(relative)?;
        let wrap = |e| self.error("read", relative, e);
        self.runtime.block_on(async {
            let found = match self.objects.get(&location).await {
                Ok(found) => found,
                Err(object_store::Error::NotFound { .. }) => return Ok(false),
                Err(e) => return Err(wrap(e)),
            };
            let mut stream = found.into_stream();
            while let Some(bytes) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                take(&bytes.map_err(wrap)?)?;
            }
            Ok(true)
        })
    }

    /// Brings the mirror's receipts up to what the store has of `shards` (relative paths), or of everything in the
    /// store where that is empty. A file in the mirror that the store's receipt is not about goes.
    ///
    /// # Errors
    /// If the store or the disk refuses; or if all is asked of a store that cannot list.
    pub fn pull_receipts(
        &self,
        mirror: &Path,
        shards: &[PathBuf],
    ) -> Result<Vec<PathBuf>, StoreError> {
        let listed = if self.lists { Some(self.list_receipts()?) } else { None };
        let wanted: Vec<PathBuf> = match (shards.is_empty(), listed) {
            (true, Some(listed)) => listed,
            (true, None) => {
                return Err(StoreError::Address {
                    url: self.url.clone(),
                    message:
                        "an HTTP server does not say what it holds; name a pipeline and a dataset"
                            .into(),
                });
            }
            (false, Some(listed)) => {
                let there: std::collections::BTreeSet<_> = listed.into_iter().collect();
                shards.iter().map(|s| Receipt::path_of(s)).filter(|r| there.contains(r)).collect()
            }
            (false, None) => shards.iter().map(|s| Receipt::path_of(s)).collect(),
        };
        let mut found = Vec::new();
        for some in wanted.chunks(AT_ONCE) {
            for (path, bytes) in some.iter().zip(self.small_objects(some)?) {
                let Some(bytes) = bytes else { continue };
                Self::take_receipt(mirror, path, &bytes)?;
                found.push(path.clone());
            }
        }
        Ok(found)
    }

    fn take_receipt(mirror: &Path, relative: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let target = mirror.join(relative);
        let Ok(receipt) = serde_json::from_slice::<Receipt>(bytes) else { return Ok(()) };
        if fs::read(&target).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        let shard = target.with_file_name(&receipt.file);
        let stays =
            Receipt::read(&target).is_ok_and(|r| r.is_some_and(|r| r.blake3 == receipt.blake3));
        if !stays {
            // A receipt is only ever beside the shard that it is about.
            for old in [&target, &Receipt::quarantine_path_of(&target), &shard] {
                match fs::remove_file(old) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        return Err(PublishError::new(old, e).into());
                    }
                    _ => {}
                }
            }
        }
        Ok(publish::write(&target, bytes)?)
    }

    /// Small objects, side by side; `None` for those that are not there.
    fn small_objects(&self, paths: &[PathBuf]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut tasks = Vec::new();
        for path in paths {
            let (objects, location) = (self.objects.clone(), self.location(path)?);
            tasks.push(self.runtime.spawn(async move {
                match objects.get(&location).await {
                    Ok(found) => found.bytes().await.map(|b| Some(b.to_vec())),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(e) => Err(e),
                }
            }));
        }
        let mut out = Vec::new();
        for (task, path) in tasks.into_iter().zip(paths) {
            let result = self.runtime.block_on(task).unwrap_or_else(|e| Err(e.into()));
            out.push(result.map_err(|e| self.error("read", path, e))?);
        }
        Ok(out)
    }

    /// Relative paths of all receipts in the store.
    fn list_receipts(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut stream = self.objects.list(Some(&self.prefix));
        let mut found = Vec::new();
        self.runtime.block_on(async {
            while let Some(object) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                let object = object.map_err(|e| self.error("list", Path::new(""), e))?;
                let Some(parts) = object.location.prefix_match(&self.prefix) else { continue };
                let path: PathBuf = parts.map(|p| p.as_ref().to_owned()).collect();
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let is_receipt = path.extension().is_some_and(|e| e == "json");
                if is_receipt && stem.parse::<ShardName>().is_ok() {
                    found.push(path);
                }
            }
            found.sort();
            Ok(found)
        })
    }

    /// Pushes a file of the mirror over the one that the store has.
    ///
    /// # Errors
    /// If the mirror has no such file, or the store refuses.
    pub fn push_file(&self, mirror: &Path, relative: &Path) -> Result<(), StoreError> {
        self.put_file(mirror, relative)
    }

    /// Pushes a shard that is published in the mirror: the store's old receipt goes, then come the shard and its
    /// quarantine, then the receipt.
    ///
    /// # Errors
    /// If the shard has no receipt, or the store refuses. No receipt is in the store then.
    pub fn push_shard(&self, mirror: &Path, relative: &Path) -> Result<(), StoreError> {
        let receipt_path = Receipt::path_of(relative);
        let local = mirror.join(&receipt_path);
        let bytes = fs::read(&local)
            .map_err(|source| StoreError::Mirror { path: local.clone(), source })?;
        if let Some(Some(old)) = self.small_objects(std::slice::from_ref(&receipt_path))?.pop() {
            if same_shard(&old, &bytes) {
                return Ok(());
            }
            self.remove(&receipt_path)?;
        }
        self.put_file(mirror, relative)?;
        let quarantine = Receipt::quarantine_path_of(relative);
        if mirror.join(&quarantine).is_file() {
            self.put_file(mirror, &quarantine)?;
        } else {
            self.remove(&quarantine)?;
        }
        let location = self.location(&receipt_path)?;
        let create = PutOptions { mode: PutMode::Create, ..Default::default() };
        let payload = PutPayload::from(bytes.clone());
        match self.runtime.block_on(self.objects.put_opts(&location, payload, create)) {
            Ok(_) => Ok(()),
            // Another worker was faster; a shard is a function of its key, so its bytes are ours.
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => {
                let theirs =
                    self.small_objects(std::slice::from_ref(&receipt_path))?.pop().flatten();
                if theirs.is_some_and(|theirs| same_shard(&theirs, &bytes)) {
                    return Ok(());
                }
                self.put(&receipt_path, bytes)
            }
            Err(e) => Err(self.error("write", &receipt_path, e)),
        }
    }

    /// Takes a shard's receipt away, in the store and in the mirror: the shard counts as missing and is made and
    /// pushed again.
    ///
    /// # Errors
    /// If the store or the disk refuses.
    pub fn forget(&self, mirror: &Path, relative: &Path) -> Result<(), StoreError> {
        let receipt = Receipt::path_of(relative);
        self.remove(&receipt)?;
        let local = mirror.join(receipt);
        match fs::remove_file(&local) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(PublishError::new(&local, e).into())
            }
            _ => Ok(()),
        }
    }

    fn put(&self, relative: &Path, bytes: Vec<u8>) -> Result<(), StoreError> {
        let location = self.location(relative)?;
        let put = self.objects.put(&location, PutPayload::from(bytes));
        self.runtime.block_on(put).map_err(|e| self.error("write", relative, e))?;
        Ok(())
    }

    /// Sends a file: whole where it is small, else in parts, so that memory stays flat. An object is seen when its
    /// last part has come.
    fn put_file(&self, mirror: &Path, relative: &Path) -> Result<(), StoreError> {
        let path = mirror.join(relative);
        let read = |source| StoreError::Mirror { path: path.clone(), source };
        let mut file = File::open(&path).map_err(read)?;
        let mut part = |bytes: &mut Vec<u8>| {
            bytes.clear();
            (&mut file).take(PART_BYTES as u64).read_to_end(bytes).map_err(read)
        };
        let mut bytes = Vec::new();
        if part(&mut bytes)? < PART_BYTES {
            return self.put(relative, bytes);
        }
        let location = self.location(relative)?;
        let wrap = |e| self.error("write", relative, e);
        self.runtime.block_on(async {
            let options = PutMultipartOptions::default();
            let mut upload =
                self.objects.put_multipart_opts(&location, options).await.map_err(wrap)?;
            let sent = async {
                while !bytes.is_empty() {
                    upload.put_part(PutPayload::from(bytes.clone())).await.map_err(wrap)?;
                    part(&mut bytes)?;
                }
                upload.complete().await.map_err(wrap)
            };
            if let Err(e) = sent.await {
                // Parts of an upload that nobody ends are paid for.
                let _ = upload.abort().await;
                return Err(e);
            }
            Ok(())
        })
    }

    /// Removes an object; that there is none is as good.
    fn remove(&self, relative: &Path) -> Result<(), StoreError> {
        let location = self.location(relative)?;
        match self.runtime.block_on(self.objects.delete(&location)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.error("remove", relative, e)),
        }
    }
}

/// Whether two receipts are about the same bytes made of the same work.
fn same_shard(a: &[u8], b: &[u8]) -> bool {
    let read = |bytes| serde_json::from_slice::<Receipt>(bytes).ok();
    match (read(a), read(b)) {
        (Some(a), Some(b)) => (a.key, a.blake3) == (b.key, b.blake3),
        _ => false,
    }
}
