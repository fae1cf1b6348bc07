//! Links this program as a bootable image, with an archive inside.

fn main() {
    toro_build::link_image();
    toro_archive::embed("files").expect("the folder files can be archived");
}
