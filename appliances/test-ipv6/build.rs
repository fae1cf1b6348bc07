//! Links this program as a bootable image.

fn main() {
    toro_build::link_image();
}
