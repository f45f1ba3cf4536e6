//! The report in a real browser: its parts are there, it is not blank, and it reads on a phone and in the dark.
//!
//! `chromium` is looked for on the path, or named by `SLAM_CHROMIUM`; where there is none the test says so,
//! or fails with `CI=true`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use slam_tests::Demo;

/// A browser that hangs is ended.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs the browser without a window and without a network; returns what it printed.
fn browse(chromium: &Path, profile: &Path, page: &Path, more: &[&str]) -> Vec<u8> {
    let out = profile.join("stdout");
    let mut child = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"])
        .args(["--disable-breakpad", "--virtual-time-budget=3000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the browser ended with {status}");
            return fs::read(out).unwrap();
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the browser did not end in {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Puts a script into a copy of the page that measures it and leaves the result in its title.
fn with_probe(html: &str) -> String {
    let probe = r#"<script>addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(e =>
    !e.closest(".scroll, pre, svg") && e.getBoundingClientRect().right > innerWidth + 1);
  const style = getComputedStyle(document.body);
  document.title = JSON.stringify({
    width: innerWidth, scroll: document.documentElement.scrollWidth,
    wide: wide.slice(0, 5).map(e => e.tagName + "." + e.className),
    ink: style.color, paper: style.backgroundColor,
    heights: Object.fromEntries([...document.querySelectorAll("h2")].map(e => [e.id, e.offsetHeight])),
    charts: [...document.querySelectorAll("svg polyline")].filter(e => e.getBoundingClientRect().width > 20).length,
    bars: [...document.querySelectorAll(".fill")].filter(e => e.getBoundingClientRect().height > 4).length,
    players: [...document.querySelectorAll("audio")].filter(e => e.offsetHeight > 10).length,
  });
});</script></body>"#;
    html.replace("</body>", probe)
}

/// What the probe found, from the title of the page's final source.
fn found(dom: &[u8]) -> serde_json::Value {
    let dom = String::from_utf8_lossy(dom);
    let title = dom.split("<title>").nth(1).unwrap().split("</title>").next().unwrap();
    serde_json::from_str(&title.replace("&quot;", "\"").replace("&amp;", "&")).unwrap()
}

/// Red, green and blue of `rgb(r, g, b)`, as their sum.
fn light(colour: &serde_json::Value) -> u32 {
    let digits = colour.as_str().unwrap().trim_start_matches("rgb(").trim_end_matches(')');
    digits.split(',').map(|c| c.trim().parse::<u32>().unwrap()).sum()
}

#[test]
fn the_report_is_shown_by_a_browser_in_light_and_dark_and_on_a_phone() {
    let Some(chromium) = slam_testing::chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let html = fs::read_to_string(Demo::finished().run().join("report.html")).unwrap();
    let page = folder.path().join("report.html");
    fs::write(&page, with_probe(&html)).unwrap();
    let profile = folder.path().join("profile");
    fs::create_dir_all(&profile).unwrap();
    let dark = "--blink-settings=preferredColorScheme=0";
    for (name, size, scheme) in [
        ("light", "--window-size=1100,900", "--blink-settings=preferredColorScheme=1"),
        ("dark", "--window-size=1100,900", dark),
        // Chromium makes no window narrower than 500 points.
        ("phone", "--window-size=500,900", dark),
    ] {
        let dom = browse(&chromium, &profile, &page, &[size, scheme, "--dump-dom"]);
        let found = found(&dom);
        for part in [
            "scores",
            "phenomena",
            "published",
            "training-1",
            "training-2",
            "data",
            "listen",
            "configuration",
        ] {
            assert!(
                found["heights"][part].as_u64() > Some(0),
                "{name}: no part '{part}' in {found}"
            );
        }
        let count = |what: &str| found[what].as_u64().unwrap();
        assert!(count("charts") >= 4 && count("bars") >= 3, "{name}: {found}");
        assert_eq!(count("players"), 12, "{name}: {found}");
        assert_eq!(found["wide"], serde_json::json!([]), "{name}: parts leave the page: {found}");
        assert!(count("scroll") <= count("width"), "{name}: the page scrolls sideways: {found}");
        let (ink, paper) = (light(&found["ink"]), light(&found["paper"]));
        if name == "light" {
            assert!(paper > 600 && ink < 200, "{found}");
        } else {
            assert!(paper < 150 && ink > 500, "{name}: {found}");
        }
        let shot = folder.path().join(format!("{name}.png"));
        let screenshot = format!("--screenshot={}", shot.display());
        browse(&chromium, &profile, &page, &[size, scheme, &screenshot]);
        let png = fs::read(&shot).unwrap();
        // A blank page of this size is a few kilobytes.
        assert!(png.starts_with(b"\x89PNG") && png.len() > 20_000, "{name}: {} bytes", png.len());
        if let Some(keep) = env::var_os("SLAM_SCREENSHOTS") {
            fs::create_dir_all(&keep).unwrap();
            fs::copy(&shot, Path::new(&keep).join(format!("{name}.png"))).unwrap();
        }
    }
}
