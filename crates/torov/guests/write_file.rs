//! Writes a file below /data and reads it back.

use std::fs;

fn main() -> std::io::Result<()> {
    fs::write("/data/file.txt", "written in a virtual machine\n")?;
    let text = fs::read_to_string("/data/file.txt")?;
    assert_eq!(text, "written in a virtual machine\n");
    println!("ok");
    Ok(())
}
