//! Devices that are not there, and the one GPU path that needs no GPU: wgpu on Mesa's lavapipe.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::{env, fs};

use slam_tests::{Said, features, run, xtask};

fn check(device: &str) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let mut command = xtask(&["doctor", "--check", device]);
    // Mesa's Vulkan drivers want a folder of the user's own.
    if env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", folder.path());
    }
    command.output().unwrap().into()
}

fn built_with(feature: &str) -> bool {
    features().any(|f| f == feature)
}

/// Whether a device must be there: `SLAM_DEVICES` lists them, as the gate does. Elsewhere its test is skipped,
/// or fails with `CI=true`.
fn required(device: &str) -> bool {
    env::var("SLAM_DEVICES").is_ok_and(|d| d.split(',').any(|d| d == device))
}

#[test]
fn the_cpu_agrees_with_itself() {
    let said = check("cpu");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("cpu agrees with the CPU"), "{}", said.stdout);
}

#[test]
fn training_on_wgpu_agrees_with_the_cpu() {
    if !built_with("wgpu") {
        slam_testing::lacks("the worker was built without wgpu (SLAM_FEATURES=wgpu)");
        return;
    }
    let said = check("wgpu");
    if said.stderr.contains("finds no adapter") && !required("wgpu") {
        slam_testing::lacks(&format!("no driver such as Mesa's lavapipe: {}", said.stderr));
        return;
    }
    println!("{}", said.stdout);
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("qwen2") && said.stdout.contains("gpt_neox"), "{}", said.stdout);
    assert!(said.stdout.contains("wgpu:0 agrees with the CPU"), "{}", said.stdout);
}

#[test]
fn an_adapter_that_is_not_there_is_a_message() {
    if !built_with("wgpu") {
        slam_testing::lacks("the worker was built without wgpu (SLAM_FEATURES=wgpu)");
        return;
    }
    let said = check("wgpu:99");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
}

#[test]
fn cuda_without_a_driver_is_a_message_and_an_exit_code() {
    if ["/proc/driver/nvidia/version", "/dev/nvidiactl"].iter().any(|p| Path::new(p).exists()) {
        println!("skipped: this machine has an NVIDIA driver");
        return;
    }
    let said = check("cuda");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    let expected = if built_with("cuda") { "install an NVIDIA driver" } else { "--features cuda" };
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}

#[test]
fn a_device_that_nobody_knows_is_refused_with_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for command in [
        &["doctor", "--check", "tpu"][..],
        // Refused before any shard is made.
        &["prepare-data", "--data", data, "--device", "tpu"],
        &["demo", "--quick", "--data", data, "--run", data, "--devices", "cuda:0,tpu"],
    ] {
        let said = run(command).unwrap();
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains("cuda:N"), "{}", said.stderr);
    }
    assert_eq!(fs::read_dir(data).unwrap().count(), 0);
}

#[test]
fn doctor_says_what_would_be_used() {
    let said = run(&["doctor"]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for line in ["cores", "memory", "disk", "cuda", "vulkan", "worker", "device"] {
        assert!(said.stdout.lines().any(|l| l.starts_with(line)), "no {line} in {}", said.stdout);
    }
}

#[test]
fn the_shipped_pipelines_are_predicted_without_data_or_worker() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = slam_tests::xtask(&["train", "--pipeline", "slam", "--budget", "24h"]);
    command.args(["--dry-run", "--gpu", "a5000", "--data"]).arg(folder.path());
    command.env("SLAM_WORKER", "/nowhere");
    let said: Said = command.output().unwrap().into();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for part in ["358347904 parameters", "1.4", "loss", "GiB", "not measured with this program"] {
        assert!(said.stdout.contains(part), "no {part} in {}", said.stdout);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a prediction writes nothing");
}

#[test]
fn a_misspelt_field_of_a_later_step_stops_the_run_before_its_first() {
    let demo = slam_tests::Demo::finished().copy().unwrap();
    let again = demo.again(&["--set", "dpo.params.bta=0.2"]).unwrap();
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(again.stderr.contains("dpo.params.bta: unknown field"), "{}", again.stderr);
}
