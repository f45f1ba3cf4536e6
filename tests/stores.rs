//! Shards on an object store: a real S3-speaking server (moto), started by the test.
//!
//! `SLAM_PYTHON` names the Python with the packages of `tests/requirements.txt`; without it the test is
//! skipped, or fails with `CI=true`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use slam_tests::Said;
use slam_tests::tiny::{Tiny, tree};

/// An S3 server with one bucket, `speech`.
struct S3 {
    server: Child,
    endpoint: String,
    python: PathBuf,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl S3 {
    fn start() -> Option<Self> {
        let python = slam_testing::python(&["moto.server", "boto3"])?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new(&python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let s3 = Self { server, endpoint: format!("http://127.0.0.1:{port}"), python };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_mins(1), "moto does not start");
            thread::sleep(Duration::from_millis(50));
        }
        s3.python("s3.create_bucket(Bucket='speech')");
        Some(s3)
    }

    fn environment(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("AWS_ENDPOINT", self.endpoint.clone()),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", "key".into()),
            ("AWS_SECRET_ACCESS_KEY", "secret".into()),
            ("AWS_REGION", "us-east-1".into()),
        ])
    }

    /// Runs a line with a client `s3`; what it prints.
    fn python(&self, line: &str) -> String {
        let head = "import boto3,os,sys\n\
                    s3=boto3.client('s3',endpoint_url=os.environ['AWS_ENDPOINT'],region_name='us-east-1')\n";
        let mut command = Command::new(&self.python);
        let output =
            command.args(["-c", &format!("{head}{line}")]).envs(self.environment()).output();
        let said = Said::from(output.unwrap());
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout
    }

    /// All objects, written below a folder by the client that is not ours.
    fn download(&self, folder: &Path) {
        let line = "for o in s3.list_objects_v2(Bucket='speech').get('Contents', []):\n\
                    \x20p=os.path.join(sys.argv[1] if len(sys.argv)>1 else 'FOLDER', o['Key']); \
                    os.makedirs(os.path.dirname(p), exist_ok=True); s3.download_file('speech', o['Key'], p)\n";
        self.python(&line.replace("FOLDER", &folder.display().to_string()));
    }

    fn run(&self, command: &mut Command) -> Said {
        command.envs(self.environment()).output().unwrap().into()
    }
}

#[test]
fn shards_on_s3_are_those_of_a_local_run_and_any_mirror_goes_on_with_them() {
    let Some(s3) = S3::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 20).unwrap();
    fs::write(tiny.input.join("0013.wav"), b"no sound").unwrap();
    let limit = ["--max-bad-fraction", "0.5"];
    let local = dir.path().join("local");
    let said: Said =
        tiny.command(&local, &[&["prepare-data"][..], &limit].concat()).output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?}");
    let url = Path::new("s3://speech/some/folder");
    let command = |mirror: &str, arguments: &[&str]| {
        let mut command = tiny.command(url, arguments);
        command.arg("--cache").arg(dir.path().join(mirror));
        s3.run(&mut command)
    };
    // Made through one mirror, the bytes in the bucket are those of the local run.
    let said = command("one", &[&["prepare-data"][..], &limit].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("s3://speech/some/folder"), "{said:?}");
    let bucket = dir.path().join("bucket");
    s3.download(&bucket);
    let local = tree(&local);
    assert_eq!(tree(&bucket.join("some/folder")), local);
    // Another machine, with nothing, sees that all is done; there is nothing to do.
    let said = command("two", &["shards", "status", "tiny"]);
    assert!(said.stdout.contains("tiny unitise: 4 done, 0 missing, 0 stale, 0 broken"), "{said:?}");
    let said = command("two", &[&["prepare-data"][..], &limit].concat());
    assert!(said.stdout.starts_with("0 shards made, 9 were up to date"), "{said:?}");
    let shards = |mirror: &str, arguments: &[&str]| {
        let mut command = slam_tests::xtask(&[&["shards"][..], arguments].concat());
        command.arg("--data").arg(url).arg("--cache").arg(dir.path().join(mirror));
        s3.run(&mut command)
    };
    let said = shards("two", &["verify"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "9 good, 0 bad\n"), "{said:?}");
    assert_eq!(shards("two", &["list"]).stdout.lines().count(), 9);
    let said = shards("two", &["show", "tiny", "--quarantine"]);
    assert!(said.stdout.contains("0013.wav"), "{said:?}");
    // A shard that broke in the bucket is found there, and remade alone from what the bucket has.
    let key = "some/folder/tiny/unitise-v2/mfcc/part-00002-of-00004.parquet";
    s3.python(&format!("s3.put_object(Bucket='speech',Key='{key}',Body=b'x')"));
    let said = shards("three", &["verify"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.stdout.contains("part-00002-of-00004") && said.stdout.contains("8 good, 1 bad"),
        "{said:?}"
    );
    let said = command("three", &[&["shards", "rebuild", "tiny"][..], &limit].concat());
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "1 shards remade\n"), "{said:?}");
    // Only its inputs came to this machine: one corpus shard and the centroids.
    let here = tree(&dir.path().join("three"));
    let files = |ending: &str| here.keys().filter(|k| k.ends_with(ending)).count();
    assert_eq!((files(".parquet"), files(".safetensors")), (2, 1), "{:?}", here.keys());
    let again = dir.path().join("again");
    s3.download(&again);
    assert_eq!(tree(&again.join("some/folder")), local);
}

#[test]
fn a_store_that_does_not_answer_or_refuses_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 5).unwrap();
    for (url, named) in [("ftp://host/x", "s3://BUCKET"), ("s3://", "s3://")] {
        let said: Said = tiny
            .command(Path::new(url), &["prepare-data"])
            .arg("--cache")
            .arg(dir.path().join("mirror"))
            .output()
            .unwrap()
            .into();
        assert_eq!(said.code, Some(1), "{url}: {said:?}");
        assert!(said.stderr.contains(named), "{url}: {}", said.stderr);
        let _ = fs::remove_dir_all(dir.path().join("mirror"));
    }
    // A mirror belongs to one store.
    let mirror = dir.path().join("mirror");
    fs::create_dir(&mirror).unwrap();
    fs::write(mirror.join(".store"), "s3://other/place").unwrap();
    let mut command = tiny.command(Path::new("s3://speech/x"), &["prepare-data"]);
    let said: Said = command.arg("--cache").arg(&mirror).output().unwrap().into();
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.stderr.contains("s3://other/place") && said.stderr.contains("--cache"),
        "{said:?}"
    );
}
