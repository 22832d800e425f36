//! Compiles `proto/` with protox, so that nobody needs protoc. Generates nothing else.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "thenar/v1/types.proto",
        "thenar/v1/identity.proto",
        "thenar/v1/enrollment.proto",
        "thenar/v1/admin.proto",
        "thenar/match/v1/match.proto",
    ];
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("thenar.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
