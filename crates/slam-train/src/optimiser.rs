//! AdamW over a model's parameters, in place.

use burn::tensor::{DType, Device, Gradients, Tensor};
use slam_lm::Decoder;
use slam_nn::ops::{self, AdamWStep};
use slam_nn::params::{ParamMut, ParamRef, Parameters, take};

use crate::config::Decay;

/// A tensor of any rank that a parameter has.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    D1(Tensor<1>),
    D2(Tensor<2>),
    D3(Tensor<3>),
}

impl Value {
    fn zeros_like(p: &ParamRef<'_>) -> Self {
        match p {
            ParamRef::D1(t) => Self::D1(Tensor::zeros(t.dims(), &t.device().inner())),
            ParamRef::D2(t) => Self::D2(Tensor::zeros(t.dims(), &t.device().inner())),
            ParamRef::D3(t) => Self::D3(Tensor::zeros(t.dims(), &t.device().inner())),
        }
    }

    fn sum_of_squares(&self) -> f64 {
        match self {
            Self::D1(t) => ops::sum_of_squares(t),
            Self::D2(t) => ops::sum_of_squares(t),
            Self::D3(t) => ops::sum_of_squares(t),
        }
    }

    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::D1(a), Self::D1(b)) => Self::D1(a + b),
            (Self::D2(a), Self::D2(b)) => Self::D2(a + b),
            (Self::D3(a), Self::D3(b)) => Self::D3(a + b),
            (a, _) => a,
        }
    }

    fn moved(self, device: &Device) -> Self {
        match self {
            Self::D1(t) => Self::D1(t.to_device(device)),
            Self::D2(t) => Self::D2(t.to_device(device)),
            Self::D3(t) => Self::D3(t.to_device(device)),
        }
    }

    pub(crate) fn as_ref(&self) -> ParamRef<'_> {
        match self {
            Self::D1(t) => ParamRef::D1(t),
            Self::D2(t) => ParamRef::D2(t),
            Self::D3(t) => ParamRef::D3(t),
        }
    }
}

/// Gradients of all parameters in the model's order, in f32; `None` where the loss does not depend on one.
#[derive(Clone, Debug, Default)]
pub struct GradientSum {
    values: Vec<Option<Value>>,
}

impl GradientSum {
    /// Adds a backward pass's gradients at the leaves that it went to, the model's own parameters or copies
    /// in another width. Each gradient is given up once it is added, so that a pass's gradients in a narrow
    /// width and their f32 copies are never all held at once.
    pub fn add(&mut self, leaves: &Decoder, mut gradients: Gradients) {
        let mut index = 0;
        leaves.for_each_param(&mut |_, p| {
            let new = match p {
                ParamRef::D1(t) => wide(t, &mut gradients).map(Value::D1),
                ParamRef::D2(t) => wide(t, &mut gradients).map(Value::D2),
                ParamRef::D3(t) => wide(t, &mut gradients).map(Value::D3),
            };
            if index == self.values.len() {
                self.values.push(new);
            } else if let Some(new) = new {
                let slot = &mut self.values[index];
                *slot = Some(match slot.take() {
                    Some(old) => old.add(new),
                    None => new,
                });
            }
            index += 1;
        });
    }

    /// Adds another device's sum, moved to this one's device.
    pub(crate) fn merge(&mut self, other: Self, device: &Device) {
        if self.values.is_empty() {
            self.values.resize_with(other.values.len(), || None);
        }
        for (slot, new) in self.values.iter_mut().zip(other.values) {
            let Some(new) = new.map(|v| v.moved(device)) else { continue };
            *slot = Some(match slot.take() {
                Some(old) => old.add(new),
                None => new,
            });
        }
    }

    /// Each parameter's gradient on the host, row-major; empty where the loss does not depend on it.
    pub fn to_f32(&self) -> Vec<Vec<f32>> {
        let values = |v: &Option<Value>| v.as_ref().map_or_else(Vec::new, |v| v.as_ref().to_f32());
        self.values.iter().map(values).collect()
    }

    /// The global norm: the root of the sum of all squares.
    pub fn norm(&self) -> f64 {
        self.values.iter().flatten().map(Value::sum_of_squares).sum::<f64>().sqrt()
    }
}

/// A leaf's gradient in f32, taken out of all.
fn wide<const D: usize>(leaf: &Tensor<D>, gradients: &mut Gradients) -> Option<Tensor<D>> {
    leaf.grad_remove(gradients).map(|gradient| gradient.cast(DType::F32))
}

/// First and second moments of every parameter.
#[derive(Clone, Debug)]
pub struct AdamW {
    pub(crate) first: Vec<Value>,
    pub(crate) second: Vec<Value>,
}

impl AdamW {
    /// Moments of zero.
    pub fn new(model: &Decoder) -> Self {
        let mut first = Vec::new();
        model.for_each_param(&mut |_, p| first.push(Value::zeros_like(&p)));
        Self { second: first.clone(), first }
    }

    /// Steps every parameter that has a gradient; those that `decay` leaves out do not decay. `grad_scale`
    /// of `step` multiplies gradients first.
    pub fn step(
        &mut self,
        model: &mut Decoder,
        gradients: GradientSum,
        step: &AdamWStep,
        decay: Decay,
    ) {
        let mut gradients = gradients.values.into_iter();
        let mut index = 0;
        model.for_each_param_mut(&mut |_, p| {
            let gradient = gradients.next().flatten();
            let (m, v) = (&mut self.first[index], &mut self.second[index]);
            index += 1;
            let decays = decay.applies(&p.as_ref());
            let step =
                &AdamWStep { weight_decay: if decays { step.weight_decay } else { 0.0 }, ..*step };
            match (p, gradient, m, v) {
                (ParamMut::D1(p), Some(Value::D1(g)), Value::D1(m), Value::D1(v)) => {
                    update(p, g, m, v, step);
                }
                (ParamMut::D2(p), Some(Value::D2(g)), Value::D2(m), Value::D2(v)) => {
                    update(p, g, m, v, step);
                }
                (ParamMut::D3(p), Some(Value::D3(g)), Value::D3(m), Value::D3(v)) => {
                    update(p, g, m, v, step);
                }
                _ => {}
            }
        });
    }
}

/// Takes everything out of its place, so that the step finds the only reference to each buffer.
fn update<const D: usize>(
    param: &mut Tensor<D>,
    gradient: Tensor<D>,
    m: &mut Tensor<D>,
    v: &mut Tensor<D>,
    step: &AdamWStep,
) {
    let plain = take(param).inner();
    let (new, new_m, new_v) = ops::adamw_step(plain, gradient, take(m), take(v), step);
    *m = new_m;
    *v = new_v;
    *param = new.autodiff().require_grad();
}
