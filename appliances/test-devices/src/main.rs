//! Tests devices and their drivers on a machine: random numbers, disks, and who owns what.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod disks;
mod disks_of_cores;
mod ownership;
mod randomness;

toro::main!(main);

fn main() {
    toro_test::run(toro_test::cases![
        randomness::numbers_do_not_repeat,
        randomness::long_stretches_have_no_preferred_byte,
        randomness::the_virtio_source_was_found,
        ownership::every_device_has_an_owner,
        disks::sizes_and_modes_are_those_of_the_machine,
        disks::long_transfers_arrive_whole,
        disks::what_does_not_suit_the_disk_is_refused,
        disks::a_read_only_disk_refuses_to_be_written,
        disks::zeroes_and_discards_are_carried_out,
        disks::threads_share_a_disk,
        disks_of_cores::as_many_cores_have_a_queue_as_the_machine_lets,
        disks_of_cores::cores_write_and_read_one_disk_each_by_its_queue,
        disks::a_request_that_is_dropped_harms_nobody,
        disks::ten_thousand_random_operations_match_the_model,
        disks::what_is_left_is_told_to_the_host,
    ]);
}
