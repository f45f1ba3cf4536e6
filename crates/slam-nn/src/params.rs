//! Named parameters of a model: what an optimiser steps, a checkpoint stores and a test compares.
//!
//! Names are those of the model's Hugging Face checkpoint (`model.layers.0.mlp.up_proj.weight`). A
//! model lists its parameters in one fixed order, shared tensors (a tied head) once.
//!
//! What is done to parameters an element at a time sees each as a vector, whatever its rank: a gradient
//! or a moment beside it is a vector too, and no rank has to be asked for.

use burn::tensor::{DType, Device, FloatDType, GradientCheckpointingStrategy, Gradients, Tensor};

/// A parameter of any rank: a vector (biases and norm weights), a matrix (linear layers `[out, in]`,
/// embeddings `[rows, hidden]`) or a convolution `[out, in, kernel]`.
pub trait Parameter {
    /// The parameter's shape.
    fn shape(&self) -> Vec<usize>;

    /// The device that it lives on, in or out of autodiff.
    fn device(&self) -> Device;

    /// The element type.
    fn dtype(&self) -> DType;

    /// The values as a vector, row-major, out of autodiff. It shares the parameter's storage.
    fn flat(&self) -> Tensor<1>;

    /// The gradient at this leaf as a vector, taken out of a backward pass's; `None` where the loss
    /// does not depend on it.
    fn take_gradient(&self, gradients: &mut Gradients) -> Option<Tensor<1>>;

    /// Changes the values, given as a vector out of autodiff, the only reference to their storage.
    /// Within autodiff the result is a new leaf.
    fn update(&mut self, f: Box<dyn FnOnce(Tensor<1>) -> Tensor<1> + '_>);

    /// Puts the parameter into autodiff, as a leaf whose gradient is kept.
    fn make_leaf(&mut self);

    /// Changes the element type. The cast is no part of a graph: within autodiff the result is a leaf of
    /// its own, at which the gradient arrives in the new width, for any number of backward passes.
    fn set_width(&mut self, width: FloatDType);

    /// Says whether what is computed of the parameter is kept for the backward pass or computed again.
    /// Out of autodiff there is nothing to say.
    fn set_checkpointing(&mut self, strategy: GradientCheckpointingStrategy);

    /// Moves the parameter to another device, in or out of autodiff.
    fn move_to(&mut self, device: &Device);

    /// Number of elements.
    fn num_elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// The values in f32, row-major, copied to the host.
    fn to_f32(&self) -> Vec<f32> {
        self.flat().into_data().iter::<f32>().collect()
    }
}

impl<const D: usize> Parameter for Tensor<D> {
    fn shape(&self) -> Vec<usize> {
        self.dims().to_vec()
    }

    fn device(&self) -> Device {
        Tensor::device(self)
    }

    fn dtype(&self) -> DType {
        Tensor::dtype(self)
    }

    fn flat(&self) -> Tensor<1> {
        flat(self.clone().inner())
    }

    fn take_gradient(&self, gradients: &mut Gradients) -> Option<Tensor<1>> {
        self.grad_remove(gradients).map(flat)
    }

    fn update(&mut self, f: Box<dyn FnOnce(Tensor<1>) -> Tensor<1> + '_>) {
        let dims = self.dims();
        change(self, |tensor| {
            let is_autodiff = tensor.is_autodiff();
            let new = f(flat(tensor.inner())).reshape(dims);
            if is_autodiff { new.autodiff().require_grad() } else { new }
        });
    }

    fn make_leaf(&mut self) {
        change(self, |tensor| tensor.inner().autodiff().require_grad());
    }

    fn set_width(&mut self, width: FloatDType) {
        change(self, |tensor| {
            let is_leaf = tensor.is_require_grad();
            let strategy = tensor.gradient_checkpointing_strategy();
            let tensor = tensor.inner().cast(width);
            match strategy {
                Some(strategy) => {
                    let tensor = tensor.autodiff().set_require_grad(is_leaf);
                    tensor.with_gradient_checkpointing_strategy(strategy)
                }
                // Out of autodiff.
                None => tensor,
            }
        });
    }

    fn set_checkpointing(&mut self, strategy: GradientCheckpointingStrategy) {
        change(self, |tensor| {
            if tensor.is_autodiff() {
                tensor.with_gradient_checkpointing_strategy(strategy)
            } else {
                tensor
            }
        });
    }

    fn move_to(&mut self, device: &Device) {
        // A tensor keeps its own autodiff context when it moves; here the device's counts.
        change(self, |tensor| {
            let tensor = tensor.inner().to_device(device);
            if device.is_autodiff() { tensor.autodiff() } else { tensor }
        });
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let elements = tensor.dims().iter().product::<usize>();
    tensor.reshape([elements])
}

/// Takes the tensor out of its place, changes it by value and puts it back, so that an operation
/// that works in place finds the only reference.
fn change<const D: usize>(slot: &mut Tensor<D>, f: impl FnOnce(Tensor<D>) -> Tensor<D>) {
    let empty = Tensor::zeros([1; D], &Tensor::device(slot));
    let tensor = std::mem::replace(slot, empty);
    *slot = f(tensor);
}

/// A model's parameters by name, in one fixed order.
pub trait Parameters: Clone {
    /// Calls `f` with each parameter's name and its place.
    fn for_each_param_mut(&mut self, f: &mut dyn FnMut(&str, &mut dyn Parameter));

    /// Calls `f` with each parameter's name and value.
    fn for_each_param(&self, f: &mut dyn FnMut(&str, &dyn Parameter)) {
        // One list of parameters serves both: a model's clone shares all tensors' storage and graph.
        self.clone().for_each_param_mut(&mut |name, p| f(name, p));
    }

    /// Number of elements of all parameters.
    fn num_parameters(&self) -> usize {
        let mut n = 0;
        self.for_each_param(&mut |_, p| n += p.num_elements());
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_of_any_rank_is_changed_as_a_vector_and_keeps_its_shape() {
        let device = Device::flex();
        let mut vector = Tensor::<1>::ones([6], &device);
        let mut matrix = Tensor::<2>::ones([2, 3], &device).autodiff();
        let mut rank_four = Tensor::<4>::ones([1, 2, 1, 3], &device);
        let parameters: [&mut dyn Parameter; 3] = [&mut vector, &mut matrix, &mut rank_four];
        for p in parameters {
            let shape = p.shape();
            p.make_leaf();
            p.update(Box::new(|values| values * 3.0));
            assert_eq!((p.shape(), p.to_f32()), (shape, vec![3.0; 6]));
            assert!(p.device().is_autodiff());
        }
    }

    #[test]
    fn a_leaf_in_another_width_takes_the_gradients_of_many_passes() {
        let mut weight = Tensor::<2>::ones([2, 3], &Device::flex());
        weight.make_leaf();
        weight.set_width(FloatDType::BF16);
        assert_eq!(Parameter::dtype(&weight), DType::BF16);
        for pass in 1..=3 {
            let mut gradients = (weight.clone() * pass).sum().backward();
            let gradient = weight.take_gradient(&mut gradients).map(|g| g.to_f32());
            assert_eq!(gradient, Some(vec![pass as f32; 6]));
            assert!(weight.take_gradient(&mut gradients).is_none());
        }
    }
}
