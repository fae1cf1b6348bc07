//! Tests the scheduler, at its limits and between cores.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod locks;
mod messages;
mod panics;
mod spawning;
mod tasks;
mod turns;

toro::main!(main);

fn main() {
    toro_test::run(toro_test::cases![
        spawning::a_hundred_thousand_threads_come_and_go,
        spawning::threads_come_and_go_on_every_core,
        spawning::ten_thousand_threads_live_at_once,
        spawning::a_builder_names_its_thread,
        spawning::a_core_that_is_not_there_is_an_error,
        spawning::a_function_runs_on_each_core,
        messages::a_million_messages_cross_in_order,
        messages::messages_of_many_senders_keep_their_order,
        messages::a_full_channel_makes_its_sender_wait,
        messages::tasks_of_two_cores_play_ping_pong,
        messages::a_buffer_is_handed_over_and_freed_at_home,
        turns::a_ready_thread_waits_for_one_turn_of_the_others,
        turns::no_unpark_is_lost_between_cores,
        tasks::a_task_gives_its_result,
        tasks::a_hundred_thousand_tasks_live_at_once,
        tasks::a_million_timers_fire_in_order,
        tasks::tasks_and_threads_take_turns,
        tasks::the_first_of_two_futures_wins,
        tasks::a_timeout_ends_a_wait,
        tasks::tasks_of_other_cores_are_woken_and_joined,
        locks::a_mutex_counts_for_all_cores,
        locks::a_mutex_serves_threads_in_their_order,
        locks::a_guard_may_be_held_across_a_yield,
        locks::a_condvar_plays_ping_pong,
        locks::a_deadline_ends_the_wait_for_a_notification,
        locks::a_semaphore_lets_so_many_in,
        locks::readers_never_see_half_a_write,
        locks::a_value_is_made_once_for_all_cores,
        locks::tasks_and_threads_share_a_mutex,
        panics::a_panic_is_reported_through_join,
        panics::a_panic_in_a_task_ends_that_task_alone,
        panics::a_panic_on_another_core_is_reported_here,
    ]);
}
