//! Named parameters of a model: what an optimiser steps, a checkpoint stores and a test compares.
//!
//! Names are those of the model's Hugging Face checkpoint (`model.layers.0.mlp.up_proj.weight`). A
//! model lists its parameters in one fixed order, shared tensors (a tied head) once.

use burn::tensor::{Device, FloatDType, GradientCheckpointingStrategy, Tensor};

/// A parameter of any rank, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum ParamRef<'a> {
    /// A vector: biases and norm weights.
    D1(&'a Tensor<1>),
    /// A matrix: linear layers `[out, in]` and embeddings `[rows, hidden]`.
    D2(&'a Tensor<2>),
    /// A convolution `[out, in, kernel]`.
    D3(&'a Tensor<3>),
}

/// A parameter of any rank, borrowed for change.
#[derive(Debug)]
pub enum ParamMut<'a> {
    /// A vector: biases and norm weights.
    D1(&'a mut Tensor<1>),
    /// A matrix: linear layers `[out, in]` and embeddings `[rows, hidden]`.
    D2(&'a mut Tensor<2>),
    /// A convolution `[out, in, kernel]`.
    D3(&'a mut Tensor<3>),
}

impl ParamRef<'_> {
    /// The parameter's shape.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::D1(t) => t.dims().to_vec(),
            Self::D2(t) => t.dims().to_vec(),
            Self::D3(t) => t.dims().to_vec(),
        }
    }

    /// Number of elements.
    pub fn num_elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// The values in f32, row-major, copied to the host.
    pub fn to_f32(&self) -> Vec<f32> {
        let data = match self {
            Self::D1(t) => t.to_data(),
            Self::D2(t) => t.to_data(),
            Self::D3(t) => t.to_data(),
        };
        data.iter::<f32>().collect()
    }
}

impl ParamMut<'_> {
    /// The same parameter, borrowed for reading.
    pub fn as_ref(&self) -> ParamRef<'_> {
        match self {
            Self::D1(t) => ParamRef::D1(t),
            Self::D2(t) => ParamRef::D2(t),
            Self::D3(t) => ParamRef::D3(t),
        }
    }

    /// Marks the parameter as a leaf whose gradient is kept (with autodiff from here on), or as a constant.
    pub fn set_require_grad(&mut self, require_grad: bool) {
        match self {
            Self::D1(t) => update(t, |t| leaf(t, require_grad)),
            Self::D2(t) => update(t, |t| leaf(t, require_grad)),
            Self::D3(t) => update(t, |t| leaf(t, require_grad)),
        }
    }

    /// Changes the parameter's width. The cast is no part of a graph: under autodiff the result is a leaf
    /// of its own, at which the gradient arrives in the new width, for any number of backward passes.
    pub fn cast(&mut self, width: FloatDType) {
        match self {
            Self::D1(t) => update(t, |t| cast(t, width)),
            Self::D2(t) => update(t, |t| cast(t, width)),
            Self::D3(t) => update(t, |t| cast(t, width)),
        }
    }

    /// Says whether what is computed of the parameter is kept for the backward pass or computed again.
    /// Without autodiff there is nothing to say.
    pub fn set_checkpointing(&mut self, strategy: GradientCheckpointingStrategy) {
        match self {
            Self::D1(t) => update(t, |t| checkpointed(t, strategy)),
            Self::D2(t) => update(t, |t| checkpointed(t, strategy)),
            Self::D3(t) => update(t, |t| checkpointed(t, strategy)),
        }
    }

    /// Moves the parameter to another device, in or out of autodiff.
    pub fn to_device(&mut self, device: &Device) {
        match self {
            Self::D1(t) => update(t, |t| moved(t, device)),
            Self::D2(t) => update(t, |t| moved(t, device)),
            Self::D3(t) => update(t, |t| moved(t, device)),
        }
    }
}

fn leaf<const D: usize>(tensor: Tensor<D>, require_grad: bool) -> Tensor<D> {
    let tensor = tensor.inner();
    if require_grad { tensor.autodiff().require_grad() } else { tensor }
}

fn cast<const D: usize>(tensor: Tensor<D>, width: FloatDType) -> Tensor<D> {
    let is_leaf = tensor.is_require_grad();
    let strategy = tensor.gradient_checkpointing_strategy();
    let tensor = tensor.inner().cast(width);
    match strategy {
        Some(strategy) => {
            let tensor = tensor.autodiff().set_require_grad(is_leaf);
            tensor.with_gradient_checkpointing_strategy(strategy)
        }
        // Without autodiff.
        None => tensor,
    }
}

fn checkpointed<const D: usize>(
    tensor: Tensor<D>,
    strategy: GradientCheckpointingStrategy,
) -> Tensor<D> {
    if tensor.is_autodiff() {
        tensor.with_gradient_checkpointing_strategy(strategy)
    } else {
        tensor
    }
}

/// A tensor keeps its own autodiff context when it moves; here the device's counts.
fn moved<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    let tensor = tensor.inner().to_device(device);
    if device.is_autodiff() { tensor.autodiff() } else { tensor }
}

/// Takes the tensor out of its place, changes it by value and puts it back, so that an operation
/// that works in place finds the only reference.
pub fn update<const D: usize>(slot: &mut Tensor<D>, f: impl FnOnce(Tensor<D>) -> Tensor<D>) {
    let tensor = take(slot);
    *slot = f(tensor);
}

/// Takes the tensor out, leaving one without elements in its place until the caller puts one back.
pub fn take<const D: usize>(slot: &mut Tensor<D>) -> Tensor<D> {
    let empty = Tensor::zeros([1; D], &slot.device());
    std::mem::replace(slot, empty)
}

/// A model's parameters by name, in one fixed order.
pub trait Parameters {
    /// Calls `f` with each parameter's name and value.
    fn for_each_param(&self, f: &mut dyn FnMut(&str, ParamRef<'_>));

    /// Calls `f` with each parameter's name and its place.
    fn for_each_param_mut(&mut self, f: &mut dyn FnMut(&str, ParamMut<'_>));

    /// Number of elements of all parameters.
    fn num_parameters(&self) -> usize {
        let mut n = 0;
        self.for_each_param(&mut |_, p| n += p.num_elements());
        n
    }
}
