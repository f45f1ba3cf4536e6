//! The fused operations: which kernel each runs forward and backward.

use super::fused::{FlexOp, shape, tensor, values};
use super::kernels::attention::{Kept, Range, Sizes};
use super::kernels::nll::Head;
use super::kernels::product::few_rows::{FEW_ROWS, times_rows};
use super::kernels::product::{Matrix, add_bias, multiply};
use super::kernels::rotary::Rotation;
use super::kernels::{activation, attention, nll, norm, rotary};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use std::sync::Arc;

fn last(x: &FlexTensor) -> usize {
    let shape = x.layout().shape();
    shape[shape.num_dims() - 1]
}

/// `x wᵀ (+ bias)`.
#[derive(Clone, Debug)]
pub(super) struct Linear;

impl Linear {
    fn product(x: &FlexTensor, w: &FlexTensor) -> Vec<f32> {
        let (rows, inner, outer) = (shape(x)[0], last(x), shape(w)[0]);
        // Below this, waking the other threads costs more than they save.
        if (1..=FEW_ROWS).contains(&rows) && inner > 0 && inner * outer >= 1 << 18 {
            return times_rows(values(x), inner, values(w));
        }
        let x = Matrix::new(values(x), rows, inner, inner);
        multiply(x, Matrix::new(values(w), outer, inner, inner).transposed())
    }

    fn gradients(
        x: &FlexTensor,
        w: &FlexTensor,
        dy: &FlexTensor,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let (rows, inner, outer) = (shape(x)[0], last(x), shape(w)[0]);
        let dy = Matrix::new(values(dy), rows, outer, outer);
        let dx = wanted[0]
            .then(|| tensor(multiply(dy, Matrix::new(values(w), outer, inner, inner)), shape(x)));
        let dw = wanted[1].then(|| {
            let x = Matrix::new(values(x), rows, inner, inner);
            tensor(multiply(dy.transposed(), x), shape(w))
        });
        [dx, dw]
    }
}

impl FlexOp<2> for Linear {
    const CHEAP: bool = false;

    fn forward(&self, [x, w]: [FlexTensor; 2]) -> (FlexTensor, Vec<FlexTensor>) {
        let y = Self::product(&x, &w);
        (tensor(y, Shape::from([shape(&x)[0], shape(&w)[0]])), Vec::new())
    }

    fn backward(
        &self,
        [x, w]: [FlexTensor; 2],
        _: Vec<FlexTensor>,
        dy: FlexTensor,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        Self::gradients(&x, &w, &dy, wanted)
    }
}

impl FlexOp<3> for Linear {
    const CHEAP: bool = false;

    fn forward(&self, [x, w, b]: [FlexTensor; 3]) -> (FlexTensor, Vec<FlexTensor>) {
        let mut y = Self::product(&x, &w);
        add_bias(&mut y, values(&b));
        (tensor(y, Shape::from([shape(&x)[0], shape(&w)[0]])), Vec::new())
    }

    fn backward(
        &self,
        [x, w, b]: [FlexTensor; 3],
        _: Vec<FlexTensor>,
        dy: FlexTensor,
        [want_x, want_w, want_b]: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let [dx, dw] = Self::gradients(&x, &w, &dy, [want_x, want_w]);
        let db = want_b.then(|| tensor(norm::column_sums(values(&dy), last(&b)), shape(&b)));
        [dx, dw, db]
    }
}

/// RMS norm with this epsilon.
#[derive(Clone, Debug)]
pub(super) struct RmsNorm(pub f32);

impl FlexOp<2> for RmsNorm {
    const CHEAP: bool = true;

    fn forward(&self, [x, w]: [FlexTensor; 2]) -> (FlexTensor, Vec<FlexTensor>) {
        let (y, rstd) = norm::rms_forward(values(&x), values(&w), self.0);
        let rows = rstd.len();
        (tensor(y, shape(&x)), vec![tensor(rstd, Shape::from([rows]))])
    }

    fn backward(
        &self,
        [x, w]: [FlexTensor; 2],
        kept: Vec<FlexTensor>,
        mut dy: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let rstd = values(&kept[0]);
        let dw = norm::rms_backward(values(&x), values(&w), rstd, dy.storage_mut());
        [Some(dy), Some(tensor(dw, shape(&w)))]
    }
}

/// Layer norm with this epsilon.
#[derive(Clone, Debug)]
pub(super) struct LayerNorm(pub f32);

impl FlexOp<3> for LayerNorm {
    const CHEAP: bool = true;

    fn forward(&self, [x, w, b]: [FlexTensor; 3]) -> (FlexTensor, Vec<FlexTensor>) {
        let (y, stats) = norm::layer_forward(values(&x), values(&w), values(&b), self.0);
        let len = stats.len();
        (tensor(y, shape(&x)), vec![tensor(stats, Shape::from([len]))])
    }

    fn backward(
        &self,
        [x, w, b]: [FlexTensor; 3],
        kept: Vec<FlexTensor>,
        mut dy: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let stats = values(&kept[0]);
        let (dw, db) = norm::layer_backward(values(&x), values(&w), stats, dy.storage_mut());
        [Some(dy), Some(tensor(dw, shape(&w))), Some(tensor(db, shape(&b)))]
    }
}

/// `silu(gate) * up`.
#[derive(Clone, Debug)]
pub(super) struct SwiGlu;

impl FlexOp<2> for SwiGlu {
    const CHEAP: bool = true;

    fn forward(&self, [a, b]: [FlexTensor; 2]) -> (FlexTensor, Vec<FlexTensor>) {
        (tensor(activation::swiglu_forward(values(&a), values(&b)), shape(&a)), Vec::new())
    }

    fn backward(
        &self,
        [a, b]: [FlexTensor; 2],
        _: Vec<FlexTensor>,
        mut dy: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let db = activation::swiglu_backward(values(&a), values(&b), dy.storage_mut());
        [Some(dy), Some(tensor(db, shape(&b)))]
    }
}

/// `x Φ(x)`.
#[derive(Clone, Debug)]
pub(super) struct Gelu;

impl FlexOp<1> for Gelu {
    const CHEAP: bool = true;

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, Vec<FlexTensor>) {
        (tensor(activation::gelu_forward(values(&x)), shape(&x)), Vec::new())
    }

    fn backward(
        &self,
        [x]: [FlexTensor; 1],
        _: Vec<FlexTensor>,
        mut dy: FlexTensor,
        _: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        activation::gelu_backward(values(&x), dy.storage_mut());
        [Some(dy)]
    }
}

/// Rotary embedding at these positions (one a token); inputs x, cos, sin.
#[derive(Clone, Debug)]
pub(super) struct Rotary(pub Arc<Vec<i64>>);

impl Rotary {
    fn turn(
        &self,
        x: &FlexTensor,
        cos: &FlexTensor,
        sin: &FlexTensor,
        direction: f32,
    ) -> FlexTensor {
        let (half, heads, dim) = (last(cos), shape(x)[2], last(x));
        let by = Rotation { cos: values(cos), sin: values(sin), half, dim, heads, direction };
        tensor(rotary::rotate(values(x), &self.0, by), shape(x))
    }
}

impl FlexOp<3> for Rotary {
    const CHEAP: bool = true;

    fn forward(&self, [x, cos, sin]: [FlexTensor; 3]) -> (FlexTensor, Vec<FlexTensor>) {
        (self.turn(&x, &cos, &sin, 1.0), Vec::new())
    }

    fn backward(
        &self,
        [_, cos, sin]: [FlexTensor; 3],
        _: Vec<FlexTensor>,
        dy: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        [Some(self.turn(&dy, &cos, &sin, -1.0)), None, None]
    }
}

/// Attention of each query over its range of keys; inputs q, k, v.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    /// One a query, within the keys.
    pub ranges: Arc<Vec<Range>>,
    pub scale: f32,
}

impl Attention {
    fn sizes(&self, q: &FlexTensor, k: &FlexTensor) -> Sizes {
        let (q, k) = (q.layout().shape(), k.layout().shape());
        Sizes {
            batch: q[0],
            queries: q[1],
            keys: k[1],
            heads: q[2],
            kv_heads: k[2],
            dim: q[3],
            scale: self.scale,
        }
    }
}

impl FlexOp<3> for Attention {
    const CHEAP: bool = false;

    fn forward(&self, [q, k, v]: [FlexTensor; 3]) -> (FlexTensor, Vec<FlexTensor>) {
        let n = self.sizes(&q, &k);
        let (out, lse) = attention::forward(values(&q), values(&k), values(&v), &self.ranges, n);
        let (out, len) = (tensor(out, shape(&q)), lse.len());
        (out.clone(), vec![out, tensor(lse, Shape::from([len]))])
    }

    fn backward(
        &self,
        [q, k, v]: [FlexTensor; 3],
        kept: Vec<FlexTensor>,
        dy: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let given = Kept {
            q: values(&q),
            k: values(&k),
            v: values(&v),
            out: values(&kept[0]),
            lse: values(&kept[1]),
            ranges: &self.ranges,
        };
        let (dq, dk, dv) = attention::backward(given, values(&dy), self.sizes(&q, &k));
        [Some(tensor(dq, shape(&q))), Some(tensor(dk, shape(&k))), Some(tensor(dv, shape(&v)))]
    }
}

/// NLL of these targets; inputs hidden states and head.
#[derive(Clone, Debug)]
pub(super) struct TokenNll(pub Arc<Vec<i64>>);

impl FlexOp<2> for TokenNll {
    const CHEAP: bool = false;

    fn forward(&self, [x, w]: [FlexTensor; 2]) -> (FlexTensor, Vec<FlexTensor>) {
        let head = Head { hidden: last(&x), vocab: shape(&w)[0] };
        let (y, lse) = nll::forward(values(&x), values(&w), &self.0, head);
        let rows = Shape::from([y.len()]);
        (tensor(y, rows.clone()), vec![tensor(lse, rows)])
    }

    fn backward(
        &self,
        [x, w]: [FlexTensor; 2],
        kept: Vec<FlexTensor>,
        dy: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let head = Head { hidden: last(&x), vocab: shape(&w)[0] };
        let lse = values(&kept[0]);
        let (dx, dw) = nll::backward(values(&x), values(&w), &self.0, lse, values(&dy), head);
        [Some(tensor(dx, shape(&x))), Some(tensor(dw, shape(&w)))]
    }
}
