//! Networks by their name on a hub: a server on this machine that answers as Hugging Face's does.
//!
//! ```sh
//! cargo test --workspace --features hub --test hub
//! ```
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tell what it saw")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::Device;
use dlm::core::{Denoiser, DenoiserInput};
use dlm::models::{AutoDenoiser, Checkpoint, Encoder};

/// Answers one request for the list of files or a range of one.
fn answer(folder: &Path, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut start = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            start = range.split('-').next().unwrap().parse().unwrap();
        }
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let (status, headers, body) = if path == "/api/models/someone/tiny/revision/main" {
        let names = std::fs::read_dir(folder)?.map(|file| file.unwrap().file_name().into_string().unwrap());
        let files: Vec<_> = names.map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "sha": "c0ffee", "siblings": files }).to_string();
        ("200 OK", String::new(), body.into_bytes())
    } else if let Some(file) = path.strip_prefix("/someone/tiny/resolve/main/") {
        let bytes = std::fs::read(folder.join(file))?;
        let headers = format!(
            "etag: \"{}-{file}\"\r\nx-repo-commit: c0ffee\r\ncontent-range: bytes {start}-{}/{}\r\n",
            bytes.len(),
            bytes.len() - 1,
            bytes.len()
        );
        ("206 Partial Content", headers, bytes[start..].to_vec())
    } else {
        ("404 Not Found", String::new(), Vec::new())
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n")?;
    stream.write_all(&body)
}

fn sum(model: &impl Denoiser) -> f32 {
    model.logits(&DenoiserInput::new(&[5, 6, 7], [1, 3], &[0, 1, 2])).sum().into_scalar()
}

fn load(name: &str) -> Result<f32, dlm::models::Error> {
    let (model, _) = Checkpoint::from_hub(name, None)?.load::<AutoDenoiser>(&Device::flex())?;
    Ok(sum(&model))
}

/// Not a test of its own: what the test below runs with the hub's address in its environment.
#[test]
fn child_downloads() {
    if std::env::var("DLM_HUB_CHILD").is_ok() {
        match load(&std::env::var("DLM_HUB_CHILD").unwrap()) {
            Ok(sum) => println!("sum {sum}"),
            Err(error) => println!("error {error}"),
        }
    }
}

#[test]
fn a_network_is_downloaded_once() {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hub");
    let _ = std::fs::remove_dir_all(&cache);
    let source = cache.join("source");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoder/bert");
    let (model, _) = Checkpoint::open(fixture).unwrap().load::<Encoder>(&Device::flex()).unwrap();
    Checkpoint::write_sharded(&model, &source, None, 20_000).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (served, stop) = (source.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = stop.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if stopped.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
            let _ = answer(&served, stream);
        }
    });
    let child = |name: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child_downloads", "--exact", "--nocapture"])
            .env("DLM_HUB_CHILD", name)
            .env("HF_ENDPOINT", &endpoint)
            .env("HF_HOME", cache.join("home"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = format!("sum {}", sum(&model));
    let first = child("someone/tiny");
    assert!(first.contains(&expected), "{first}");
    let missing = child("someone/else");
    assert!(missing.contains("error cannot get someone/else from the hub"), "{missing}");

    // Gone: the cache answers, and what it lacks is an error.
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let _ = TcpStream::connect(endpoint.trim_start_matches("http://"));
    let offline = child("someone/tiny");
    assert!(offline.contains(&expected), "{offline}");
    assert!(child("someone/else").contains("error cannot get someone/else from the hub"));
}
