// A program that has a good deal of everything when it is kept, before it asks for its parent: threads that wait, sleep and
// compute, pipes, counters, timers, a set of them, signals. Behind that it says what is not as it was; with `abort` it dies. With
// `socket`, `once` or `packets` it has what cannot be kept.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) ((what) ? (void)0 : (printf("line %d: %s (errno %d)\n", __LINE__, #what, errno), exit(1)))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int is_open, empty[2];
static atomic_int ready, stop, alarms, told, naps;
static atomic_long sum;
static __thread int own;

static void begin(int number) {
    char name[16];
    own = number;
    snprintf(name, sizeof name, "worker %d", number);
    pthread_setname_np(pthread_self(), name);
    atomic_fetch_add(&ready, 1);
}

static void end(int number) {
    char name[16], expected[16];
    snprintf(expected, sizeof expected, "worker %d", number);
    CHECK(own == number && pthread_getname_np(pthread_self(), name, sizeof name) == 0 && !strcmp(name, expected));
}

static void *waits(void *argument) {
    begin(1);
    pthread_mutex_lock(&lock);
    while (!is_open)
        pthread_cond_wait(&condition, &lock);
    pthread_mutex_unlock(&lock);
    end(1);
    return argument;
}

static void *reads(void *argument) {
    char byte;
    begin(2);
    CHECK(read(empty[0], &byte, 1) == 1 && byte == '!');
    end(2);
    return argument;
}

static void *computes(void *argument) {
    double root = 2, half = 1.5;
    begin(3);
    while (!stop) {
        root = root / 2 + 1 / root;
        CHECK(root * root < 2.3 && half == 1.5);
        atomic_fetch_add(&sum, 1);
    }
    end(3);
    return argument;
}

static void *sleeps(void *argument) {
    struct timespec nap = {0, 1000000};
    begin(4);
    while (!stop) {
        nanosleep(&nap, NULL);
        atomic_fetch_add(&naps, 1);
    }
    end(4);
    return argument;
}

static void *returns(void *argument) { return argument; }

static void tick(int number) { atomic_fetch_add(number == SIGALRM ? &alarms : &told, 1); }

static int64_t now(clockid_t clock) {
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void until(atomic_int *count, int more) {
    int from = *count;
    while (*count < from + more)
        sched_yield();
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    pthread_t threads[4];
    char bytes[64];
    uint64_t word;
    int full[2], pair[2], counter = eventfd(5, 0), taken = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK), set = epoll_create1(0);
    CHECK(pipe2(full, O_CLOEXEC) == 0 && pipe(empty) == 0 && write(full[1], "held", 4) == 4);
    CHECK(fcntl(full[0], F_SETFL, O_NONBLOCK) == 0 && dup2(full[1], 30) == 30 && close(full[1]) == 0);
    if (!strcmp(mode, "socket")) CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    if (!strcmp(mode, "packets")) CHECK(pipe2(pair, O_DIRECT) == 0);
    int far = timerfd_create(CLOCK_MONOTONIC, 0), near = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec later = {{0, 0}, {5000, 0}}, soon = {{3600, 0}, {0, 1}};
    CHECK(timerfd_settime(far, 0, &later, NULL) == 0 && timerfd_settime(near, 0, &soon, NULL) == 0);
    struct epoll_event in = {.events = EPOLLIN, .data.u64 = 1}, gone = {.events = EPOLLIN, .data.u64 = 2},
                       edge = {.events = EPOLLIN | EPOLLET, .data.u64 = 3}, never = {.events = EPOLLIN, .data.u64 = 4}, got[8];
    if (!strcmp(mode, "once")) in.events |= EPOLLONESHOT;
    int closed = eventfd(1, 0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, counter, &in) == 0 && epoll_ctl(set, EPOLL_CTL_ADD, closed, &gone) == 0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, full[0], &edge) == 0 && epoll_ctl(set, EPOLL_CTL_ADD, far, &never) == 0);
    close(closed);
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGRTMIN + 2, &action, NULL) == 0);
    sigset_t blocked, waiting;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0 && raise(SIGUSR2) == 0);
    int readable = signalfd(-1, &blocked, SFD_NONBLOCK);
    CHECK(readable >= 0);
    CHECK(pthread_create(&threads[0], NULL, waits, NULL) == 0 && pthread_create(&threads[1], NULL, reads, NULL) == 0);
    CHECK(pthread_create(&threads[2], NULL, computes, NULL) == 0 && pthread_create(&threads[3], NULL, sleeps, NULL) == 0);
    while (ready < 4)
        sched_yield();
    struct itimerval often = {{0, 5000}, {0, 5000}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
    struct itimerspec half = {{0, 7000000}, {0, 7000000}}, rest;
    timer_t timer, idle;
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &half, NULL) == 0 && timer_create(CLOCK_REALTIME, &event, &idle) == 0);
    int64_t before = now(CLOCK_MONOTONIC), real = now(CLOCK_REALTIME);
    long so_far = sum;
    puts("before");
    fflush(stdout);

    syscall(SYS_getppid);
    if (!strcmp(mode, "abort")) abort();

    CHECK(now(CLOCK_MONOTONIC) > before && now(CLOCK_REALTIME) > real && getauxval(AT_SYSINFO_EHDR) != 0);
    for (int i = 0; i < 20000; i++) {
        int64_t next = now(CLOCK_MONOTONIC);
        CHECK(next >= before);
        before = next;
    }
    // Edges are told of anew.
    int count = epoll_wait(set, got, 8, 0), seen = 0;
    for (int i = 0; i < count; i++)
        seen |= 1 << got[i].data.u64;
    CHECK(count == 2 && seen == (1 << 1 | 1 << 3));
    CHECK(read(counter, &word, 8) == 8 && word == 5 && epoll_wait(set, got, 8, 0) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(read(taken, &word, 8) == 8 && word == 1);
    CHECK(read(taken, &word, 8) == -1 && errno == EAGAIN);
    CHECK(read(full[0], bytes, sizeof bytes) == 4 && !memcmp(bytes, "held", 4));
    CHECK(read(full[0], bytes, sizeof bytes) == -1 && errno == EAGAIN && fcntl(full[0], F_GETFD) == FD_CLOEXEC);
    CHECK(write(30, "more", 4) == 4 && epoll_wait(set, got, 8, 0) == 1 && got[0].data.u64 == 3);
    CHECK(read(full[0], bytes, sizeof bytes) == 4 && close(30) == 0 && read(full[0], bytes, sizeof bytes) == 0);
    CHECK(timerfd_gettime(far, &rest) == 0 && rest.it_value.tv_sec > 1000 && rest.it_value.tv_sec <= 5000);
    CHECK(timerfd_gettime(near, &rest) == 0 && rest.it_interval.tv_sec == 3600);
    while (read(near, &word, 8) == -1)
        CHECK(errno == EAGAIN);
    CHECK(word == 1 && (fcntl(near, F_GETFL) & O_NONBLOCK));
    CHECK(timer_gettime(timer, &rest) == 0 && rest.it_interval.tv_nsec == 7000000);
    CHECK(timer_gettime(idle, &rest) == 0 && rest.it_value.tv_sec == 0 && rest.it_value.tv_nsec == 0);
    until(&alarms, 3);
    until(&told, 3);
    until(&naps, 3);
    CHECK(sigpending(&waiting) == 0 && sigismember(&waiting, SIGUSR2) == 1);
    struct signalfd_siginfo came;
    CHECK(poll(&(struct pollfd){.fd = readable, .events = POLLIN}, 1, 0) == 1);
    CHECK(read(readable, &came, sizeof came) == sizeof came && came.ssi_signo == SIGUSR2);
    CHECK(read(readable, &came, sizeof came) == -1 && errno == EAGAIN);
    // Another signal may come just then.
    int none;
    while ((none = poll(&(struct pollfd){.fd = readable, .events = POLLIN}, 1, 0)) == -1)
        CHECK(errno == EINTR);
    CHECK(none == 0);
    while (sum < so_far + 1000)
        sched_yield();
    // More threads than there were, and all of them end.
    pthread_t more;
    CHECK(pthread_create(&more, NULL, returns, &more) == 0 && pthread_join(more, NULL) == 0);
    pthread_mutex_lock(&lock);
    is_open = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&lock);
    CHECK(write(empty[1], "!", 1) == 1);
    stop = 1;
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    puts("behind");
    return 7;
}
