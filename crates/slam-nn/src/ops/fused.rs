//! How a kernel becomes a differentiable operation on the CPU device.
//!
//! A [`FlexOp`] says forward and backward on CPU tensors; [`apply`] runs it on plain tensors or puts
//! it on Burn's autodiff tape, once for all operations. Cheap operations are recomputed in the
//! backward pass where gradient checkpointing is on, instead of keeping their results.

use burn::backend::autodiff::{
    NodeId,
    checkpoint::{
        base::Checkpointer,
        retro_forward::RetroForward,
        state::BackwardStates,
        strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing},
    },
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, BackendTensor, DispatchAutodiffContext, DispatchKindConversion,
    DispatchTensor, DispatchTensorKind, Flex, GradientCheckpointingStrategy,
};
use burn::tensor::{Bytes, DType, Shape, Tensor};
use std::fmt::Debug;

/// An autodiff tensor on the CPU device.
type Tracked = FloatTensor<Autodiff<Flex>>;

/// An operation on `N` CPU tensors.
pub(super) trait FlexOp<const N: usize>: Clone + Debug + Send + Sync + 'static {
    /// Whether recomputing it costs less than keeping its result.
    const CHEAP: bool;

    /// The result, and what backward needs beside the inputs. The inputs are dense f32.
    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Vec<FlexTensor>);

    /// Gradients of the inputs that are `wanted` (others may be `None`); `dy` is dense f32.
    fn backward(
        &self,
        inputs: [FlexTensor; N],
        kept: Vec<FlexTensor>,
        dy: FlexTensor,
        wanted: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

/// Whether the tensor is f32 in the CPU device's memory, which the kernels are for.
pub(super) fn fits<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && crate::device::is_cpu(&x.device())
}

/// Runs the operation; every input must [`fits`].
pub(super) fn apply<O: FlexOp<N>, const N: usize>(
    op: O,
    inputs: [DispatchTensor; N],
) -> DispatchTensor {
    let strategy = inputs.iter().find_map(|x| match x.autodiff {
        DispatchAutodiffContext::Enabled(strategy) => Some(strategy),
        DispatchAutodiffContext::Disabled => None,
    });
    match strategy {
        None => {
            let y = op.forward(inputs.map(|x| dense(plain(x)))).0;
            <DispatchTensor as DispatchKindConversion<Flex>>::from_backend(BackendTensor::Float(y))
        }
        Some(GradientCheckpointingStrategy::Disabled) => {
            let y = track::<O, NoCheckpointing, N>(op, inputs.map(tracked));
            <DispatchTensor as DispatchKindConversion<Autodiff<Flex, NoCheckpointing>>>::from_backend(
                BackendTensor::Float(y),
            )
        }
        Some(GradientCheckpointingStrategy::Balanced) => {
            let y = track::<O, BalancedCheckpointing, N>(op, inputs.map(tracked));
            <DispatchTensor as DispatchKindConversion<
                Autodiff<Flex, BalancedCheckpointing>,
            >>::from_backend(BackendTensor::Float(y))
        }
    }
}

/// The CPU tensor inside; the caller has checked that there is one.
#[allow(clippy::match_wildcard_for_single_variants, reason = "features add variants")]
fn plain(x: DispatchTensor) -> FlexTensor {
    match x.kind {
        DispatchTensorKind::Flex(BackendTensor::Float(x)) => x,
        _ => unreachable!("checked to be a float tensor of the CPU device"),
    }
}

/// The autodiff tensor inside; one without autodiff becomes a constant.
#[allow(clippy::match_wildcard_for_single_variants, reason = "features add variants")]
fn tracked(x: DispatchTensor) -> Tracked {
    match x.kind {
        DispatchTensorKind::Flex(BackendTensor::Float(x)) => Autodiff::<Flex>::from_inner(x),
        DispatchTensorKind::Autodiff(kind) => match *kind {
            DispatchTensorKind::Flex(BackendTensor::Autodiff(x)) => x,
            _ => unreachable!("checked to be a float tensor of the CPU device"),
        },
        #[allow(unreachable_patterns)]
        _ => unreachable!("checked to be a float tensor of the CPU device"),
    }
}

fn track<O: FlexOp<N>, C: CheckpointStrategy, const N: usize>(
    op: O,
    inputs: [Tracked; N],
) -> Tracked {
    let prepared = Step(op.clone()).prepare::<C>(inputs.each_ref().map(Tracked::node));
    let prepared = if O::CHEAP {
        let retro = Again { op: op.clone(), inputs: inputs.each_ref().map(Tracked::id) };
        prepared.memory_bound().retro_forward(retro).parents(&inputs)
    } else {
        prepared.compute_bound()
    };
    match prepared.stateful() {
        OpsKind::Tracked(mut prepared) => {
            let ids = inputs.each_ref().map(|x| prepared.checkpoint(x));
            let (y, kept) = op.forward(inputs.map(|x| dense(x.into_primitive())));
            prepared.finish((ids, kept), y)
        }
        OpsKind::UnTracked(prepared) => {
            prepared.finish(op.forward(inputs.map(|x| dense(x.into_primitive()))).0)
        }
    }
}

/// The backward step of an operation.
#[derive(Debug)]
struct Step<O>(O);

impl<O: FlexOp<N>, const N: usize> Backward<Flex, N> for Step<O> {
    type State = ([NodeId; N], Vec<FlexTensor>);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let (ids, kept) = ops.state;
        let inputs =
            ids.map(|id| dense(checkpointer.retrieve_node_output::<FloatTensor<Flex>>(id)));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = self.0.backward(inputs, kept, dy, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// Computes an operation's result once more during backward.
#[derive(Debug)]
struct Again<O, const N: usize> {
    op: O,
    inputs: [NodeId; N],
}

impl<O: FlexOp<N>, const N: usize> RetroForward for Again<O, N> {
    fn forward(&self, states: &mut BackwardStates, out_node: NodeId) {
        let inputs =
            self.inputs.each_ref().map(|id| dense(states.get_state::<FloatTensor<Flex>>(id)));
        states.save(out_node, self.op.forward(inputs).0);
    }
}

/// Dense from offset 0 over the whole buffer; copies only what is not. By value on purpose: a second
/// reference would make a later write in place copy the buffer.
pub(super) fn dense(x: FlexTensor) -> FlexTensor {
    let bytes = x.layout().num_elements() * x.dtype().size();
    if x.is_contiguous() && x.layout().start_offset() == 0 && x.bytes().len() == bytes {
        x
    } else {
        x.to_contiguous()
    }
}

/// A dense f32 tensor of these values.
pub(super) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// The shape of a tensor.
pub(super) fn shape(x: &FlexTensor) -> Shape {
    x.layout().shape().clone()
}

/// The values of a dense f32 tensor.
pub(super) fn values(x: &FlexTensor) -> &[f32] {
    x.storage::<f32>()
}

#[allow(clippy::result_large_err, reason = "the error is the tensor, given back")]
/// Takes a float tensor without autodiff apart for work in place; gives it back where it isn't one.
pub(super) fn take<const D: usize>(x: Tensor<D>) -> Result<FlexTensor, Tensor<D>> {
    if !fits(&x) {
        return Err(x);
    }
    let x = x.into_dispatch();
    match x.kind {
        DispatchTensorKind::Flex(BackendTensor::Float(x)) => Ok(dense(x)),
        kind => Err(Tensor::from_dispatch(DispatchTensor { kind, autodiff: x.autodiff })),
    }
}

/// The tensor of [`take`] again.
pub(super) fn give<const D: usize>(x: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(x)
}
