//! The loss of DPO and what is reported of it.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;

/// The sigmoid loss of some pairs and its rewards.
///
/// # Shapes
/// Every argument and result is `[pairs]`.
#[derive(Clone, Debug)]
pub struct DpoLoss {
    /// `-logsigmoid(β((π_c − ref_c) − (π_r − ref_r)))`, smoothed where asked.
    pub losses: Tensor<1>,
    /// `β(π_c − ref_c)`.
    pub chosen_rewards: Tensor<1>,
    /// `β(π_r − ref_r)`.
    pub rejected_rewards: Tensor<1>,
    /// The policy's log-probabilities of chosen and rejected.
    policy: [Tensor<1>; 2],
}

impl DpoLoss {
    /// The loss of equation 7 of Rafailov et al. (2023), with label smoothing as conservative DPO has it
    /// (Mitchell, 2023). `policy` and `reference` are log-probabilities of chosen and rejected.
    pub fn new(
        policy: [Tensor<1>; 2],
        reference: [Tensor<1>; 2],
        beta: f64,
        label_smoothing: f64,
    ) -> Self {
        let [policy_chosen, policy_rejected] = policy.clone();
        let [reference_chosen, reference_rejected] = reference;
        let chosen_rewards = (policy_chosen - reference_chosen) * beta;
        let rejected_rewards = (policy_rejected - reference_rejected) * beta;
        let margin = chosen_rewards.clone() - rejected_rewards.clone();
        let mut losses = -log_sigmoid(margin.clone()) * (1.0 - label_smoothing);
        if label_smoothing > 0.0 {
            losses = losses - log_sigmoid(-margin) * label_smoothing;
        }
        Self { losses, chosen_rewards, rejected_rewards, policy }
    }

    /// Sums over the pairs of what is reported: rewards, margins (chosen minus rejected reward), how many
    /// pairs are ranked right, and the policy's log-probabilities.
    pub fn figures(self) -> BTreeMap<String, f64> {
        let values = |t: Tensor<1>| t.into_data().iter::<f64>().collect::<Vec<_>>();
        let (chosen, rejected) = (values(self.chosen_rewards), values(self.rejected_rewards));
        let margins: Vec<f64> = chosen.iter().zip(&rejected).map(|(c, r)| c - r).collect();
        let [chosen_logp, rejected_logp] = self.policy.map(|p| values(p).into_iter().sum());
        BTreeMap::from([
            ("chosen_reward".to_owned(), chosen.iter().sum()),
            ("rejected_reward".to_owned(), rejected.iter().sum()),
            ("chosen_logp".to_owned(), chosen_logp),
            ("rejected_logp".to_owned(), rejected_logp),
            ("accuracy".to_owned(), margins.iter().filter(|m| **m > 0.0).count() as f64),
            ("margin".to_owned(), margins.iter().sum()),
        ])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::tensor::{Device, TensorData};
    use slam_nn::weights::Weights;
    use std::path::PathBuf;

    #[test]
    fn the_loss_rewards_and_gradients_equal_the_reference() {
        let root = std::env::var_os("SLAM_FIXTURES").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
            PathBuf::from,
        );
        let file = Weights::open(root.join("dpo/expected.safetensors")).unwrap();
        let device = Device::flex().autodiff();
        let read = |name: &str| file.tensor_f32(name).unwrap().0;
        let tensor = |name: &str| -> Tensor<1> {
            let values = read(name);
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), &device)
        };
        let policy = ["policy_chosen", "policy_rejected"].map(|n| tensor(n).require_grad());
        let reference = ["reference_chosen", "reference_rejected"].map(tensor);
        let loss = DpoLoss::new(policy.clone(), reference, 0.1, 0.0);
        let close = |got: Tensor<1>, name: &str| {
            for (a, b) in got.into_data().iter::<f32>().zip(read(name)) {
                assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{name}: {a} != {b}");
            }
        };
        let gradients = loss.losses.clone().mean().backward();
        close(loss.losses.inner(), "losses");
        close(loss.chosen_rewards.inner(), "reward_chosen");
        close(loss.rejected_rewards.inner(), "reward_rejected");
        let [chosen, rejected] = policy;
        close(chosen.grad(&gradients).unwrap(), "grad_policy_chosen");
        close(rejected.grad(&gradients).unwrap(), "grad_policy_rejected");
    }

    #[test]
    fn smoothing_mixes_the_loss_with_that_of_the_label_turned_round() {
        let device = Device::flex();
        let one = |x: f32| Tensor::<1>::from_data([x], &device);
        let loss = |a, b, smoothing| {
            let loss = DpoLoss::new([one(a), one(b)], [one(0.0), one(0.0)], 0.5, smoothing).losses;
            loss.into_data().iter::<f64>().next().unwrap()
        };
        let mixed = 0.9 * loss(1.0, -2.0, 0.0) + 0.1 * loss(-2.0, 1.0, 0.0);
        assert!((loss(1.0, -2.0, 0.1) - mixed).abs() < 1e-6);
    }
}
