//! Tests sockets on a machine, with the host at their other end.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod bulk;
mod datagrams;
mod names;
mod peer;
mod streams;
mod tasks;

toro::main!(main);

fn main() {
    peer::wait_for_network();
    toro_test::run(toro_test::cases![
        streams::an_echo_comes_back,
        streams::a_stream_that_is_not_to_wait_says_so,
        streams::a_listener_that_is_not_to_wait_says_so,
        streams::what_can_be_set_is_kept,
        streams::a_drop_that_lingers_has_delivered,
        bulk::a_long_stream_comes_back_whole,
        tasks::a_task_exchanges_bytes_both_ways_at_once,
        tasks::many_tasks_share_the_core,
        tasks::tasks_accept_and_answer,
        datagrams::a_datagram_comes_back,
        datagrams::a_socket_that_is_not_to_wait_says_so,
        datagrams::a_receive_gives_up_in_time,
        datagrams::tasks_exchange_datagrams,
        datagrams::the_gateway_answers_a_ping,
        datagrams::nobody_answers_a_ping,
        names::a_name_has_the_address_that_its_server_knows,
        names::a_name_that_is_remembered_is_not_asked_for_again,
        names::a_name_leads_to_another,
        names::a_name_that_is_not_there_is_not_found,
        names::an_answer_that_was_cut_is_asked_for_by_connection,
        names::nobody_else_is_believed,
        names::tasks_look_up_at_once,
        names::a_connection_is_made_to_a_name,
    ]);
}
