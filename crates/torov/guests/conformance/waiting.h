// Waiting for descriptors, and what is made to be waited for.

static void polling(int *ends) {
    struct pollfd polled[3] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {-5, POLLIN, 77}};
    struct timespec nothing = {0, 0}, negative = {-1, 0}, much = {0, 1000000000};
    struct timeval zero = {0, 0}, wrong = {-1, 0};
    fd_set readable, writable;
    IS("poll: one of three", poll(polled, 3, 0));
    HOLDS("poll: which", polled[0].revents == 0 && polled[1].revents == POLLOUT && polled[2].revents == 0);
    polled[2].fd = 99;
    IS("poll: one that is not open counts", poll(polled, 3, -1));
    IS("poll: and says so", polled[2].revents);
    IS("poll: nothing, not at all", poll(NULL, 0, 0));
    IS("poll: nowhere", syscall(SYS_poll, nowhere, 1, 0));
    IS("poll: more than there can be", syscall(SYS_poll, polled, 1u << 31, 0));
    IS("ppoll: no time", ppoll(polled, 1, &nothing, NULL));
    IS("ppoll: negative time", ppoll(polled, 1, &negative, NULL));
    IS("ppoll: too many nanoseconds", ppoll(polled, 1, &much, NULL));
    IS("ppoll: a mask of a wrong length", syscall(SYS_ppoll, polled, 1, &nothing, &readable, 4));
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(ends[0], &readable);
    FD_SET(ends[1], &writable);
    IS("select: one of two", select(60, &readable, &writable, NULL, &zero));
    HOLDS("select: which", !FD_ISSET(ends[0], &readable) && FD_ISSET(ends[1], &writable));
    FD_SET(55, &readable);
    IS("select: one that is not open", select(60, &readable, NULL, NULL, &zero));
    IS("select: -1 numbers", select(-1, NULL, NULL, NULL, &zero));
    IS("select: negative time", select(0, NULL, NULL, NULL, &wrong));
    IS("select: a set nowhere", select(10, (fd_set *)nowhere, NULL, NULL, &zero));
    IS("select: nothing, not at all", select(0, NULL, NULL, NULL, &zero));
    IS("pselect6: no time", pselect(0, NULL, NULL, NULL, &nothing, NULL));
    IS("pselect6: too many nanoseconds", pselect(0, NULL, NULL, NULL, &much, NULL));
    write(ends[1], "x", 1);
    polled[0].events = POLLIN | POLLOUT;
    IS("poll: there is something", poll(polled, 1, -1));
    IS("poll: it can be read", polled[0].revents);
    close(ends[1]);
    poll(polled, 1, 0);
    IS("poll: and its writer is gone", polled[0].revents);
}

static void counters(void) {
    uint64_t value = 5;
    int counter = eventfd(3, EFD_NONBLOCK), semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    IS("eventfd: a flag that nobody knows", eventfd(0, 0x100));
    IS("eventfd: add", write(counter, &value, 8));
    IS("eventfd: read", read(counter, &value, 8));
    IS("eventfd: the sum", value);
    IS("eventfd: zero does not block", read(counter, &value, 8));
    IS("eventfd: little room", read(counter, &value, 4));
    IS("eventfd: a short number", write(counter, &value, 4));
    value = UINT64_MAX;
    IS("eventfd: the largest number of all", write(counter, &value, 8));
    value = UINT64_MAX - 1;
    IS("eventfd: the largest", write(counter, &value, 8));
    value = 1;
    IS("eventfd: beyond", write(counter, &value, 8));
    IS("eventfd: by ones", (read(semaphore, &value, 8), value));
    IS("eventfd: another", (read(semaphore, &value, 8), value));
    IS("eventfd: no more", read(semaphore, &value, 8));
    IS("eventfd: has no places", lseek(counter, 0, SEEK_SET));
    IS("eventfd: has no places to read at", pread(counter, &value, 8, 0));
}

static void sets(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77}, got[4];
    int set = epoll_create1(0), other = epoll_create(1), counter = eventfd(1, 0), file = open("file", O_RDONLY);
    IS("epoll_create: no size", epoll_create(0));
    IS("epoll_create1: a flag that nobody knows", epoll_create1(0x100));
    IS("epoll_create1: EPOLL_CLOEXEC", fcntl(epoll_create1(EPOLL_CLOEXEC), F_GETFD));
    IS("epoll_ctl: add", epoll_ctl(set, EPOLL_CTL_ADD, counter, &event));
    IS("epoll_ctl: add it again", epoll_ctl(set, EPOLL_CTL_ADD, counter, &event));
    IS("epoll_ctl: add a file", epoll_ctl(set, EPOLL_CTL_ADD, file, &event));
    IS("epoll_ctl: add itself", epoll_ctl(set, EPOLL_CTL_ADD, set, &event));
    IS("epoll_ctl: what is not open", epoll_ctl(set, EPOLL_CTL_ADD, 99, &event));
    IS("epoll_ctl: no set", epoll_ctl(file, EPOLL_CTL_ADD, counter, &event));
    IS("epoll_ctl: a set that is not open", epoll_ctl(99, EPOLL_CTL_ADD, counter, &event));
    IS("epoll_ctl: an operation that nobody knows", epoll_ctl(set, 9, counter, &event));
    IS("epoll_ctl: an event nowhere", epoll_ctl(set, EPOLL_CTL_MOD, counter, (struct epoll_event *)nowhere));
    IS("epoll_ctl: a set in a set", epoll_ctl(other, EPOLL_CTL_ADD, set, &event));
    IS("epoll_ctl: in a circle", epoll_ctl(set, EPOLL_CTL_ADD, other, &event));
    IS("epoll_wait: one", epoll_wait(set, got, 4, -1));
    IS("epoll_wait: whose", got[0].data.u64);
    IS("epoll_wait: of the outer set", epoll_wait(other, got, 4, 0));
    event.events = EPOLLIN | EPOLLONESHOT;
    IS("epoll_ctl: change", epoll_ctl(set, EPOLL_CTL_MOD, counter, &event));
    IS("epoll_wait: EPOLLONESHOT", epoll_wait(set, got, 4, 0));
    IS("epoll_wait: no more", epoll_wait(set, got, 4, 0));
    event.events = EPOLLIN | EPOLLET;
    epoll_ctl(set, EPOLL_CTL_MOD, counter, &event);
    IS("epoll_wait: EPOLLET", epoll_wait(set, got, 4, 0));
    IS("epoll_wait: not again", epoll_wait(set, got, 4, 0));
    IS("epoll_wait: room for none", epoll_wait(set, got, 0, 0));
    IS("epoll_wait: room for less", epoll_wait(set, got, -1, 0));
    IS("epoll_wait: no set", epoll_wait(file, got, 4, 0));
    IS("epoll_wait: what is not open", epoll_wait(99, got, 4, 0));
    event.events = EPOLLIN;
    epoll_ctl(set, EPOLL_CTL_MOD, counter, &event);
    IS("epoll_wait: to nowhere", epoll_wait(set, (struct epoll_event *)nowhere, 4, 0));
    IS("epoll_pwait: a mask of a wrong length", syscall(SYS_epoll_pwait, set, got, 4, 0, got, 4));
    IS("epoll_ctl: take it out", epoll_ctl(set, EPOLL_CTL_DEL, counter, NULL));
    IS("epoll_ctl: it is out", epoll_ctl(set, EPOLL_CTL_DEL, counter, NULL));
    IS("epoll_ctl: change what is out", epoll_ctl(set, EPOLL_CTL_MOD, counter, &event));
    epoll_ctl(set, EPOLL_CTL_ADD, counter, &event);
    close(counter);
    IS("epoll_wait: what is closed is out", epoll_wait(set, got, 4, 0));
    IS("read: a set", read(set, got, 8));
}

static void timers(void) {
    struct itimerspec soon = {.it_value.tv_nsec = 1}, later = {.it_value.tv_sec = 1000}, got, wrong = {.it_value.tv_nsec = -1};
    uint64_t count = 0;
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), file = open("file", O_RDONLY);
    IS("timerfd_create: a clock that nobody knows", timerfd_create(99, 0));
    IS("timerfd_create: the clock of a process", timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
    IS("timerfd_create: a flag that nobody knows", timerfd_create(CLOCK_REALTIME, 4));
    WORKS("timerfd_create: CLOCK_BOOTTIME", timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC));
    IS("timerfd: not set, does not block", read(timer, &count, 8));
    IS("timerfd_settime: later", timerfd_settime(timer, 0, &later, NULL));
    IS("timerfd_gettime", timerfd_gettime(timer, &got));
    HOLDS("timerfd_gettime: some seconds less", got.it_value.tv_sec >= 900 && got.it_value.tv_sec <= 1000);
    IS("timerfd_settime: soon", timerfd_settime(timer, 0, &soon, &got));
    HOLDS("timerfd_settime: tells the one before", got.it_value.tv_sec >= 900);
    struct pollfd polled = {timer, POLLIN, 0};
    IS("poll: a timer", poll(&polled, 1, -1));
    IS("timerfd: read", read(timer, &count, 8));
    IS("timerfd: times", count);
    IS("timerfd: little room", read(timer, &count, 4));
    IS("timerfd_settime: wrong nanoseconds", timerfd_settime(timer, 0, &wrong, NULL));
    IS("timerfd_settime: a flag that nobody knows", timerfd_settime(timer, 0x100, &soon, NULL));
    IS("timerfd_settime: no timer", timerfd_settime(file, 0, &soon, NULL));
    IS("timerfd_settime: what is not open", timerfd_settime(99, 0, &soon, NULL));
    IS("timerfd_settime: nowhere", timerfd_settime(timer, 0, (struct itimerspec *)nowhere, NULL));
    IS("timerfd_gettime: no timer", timerfd_gettime(file, &got));
    IS("timerfd_gettime: to nowhere", timerfd_gettime(timer, (struct itimerspec *)nowhere));
    IS("write: a timer", write(timer, &count, 8));
}

static void waiting(void) {
    int ends[2];
    if (pipe(ends) != 0) return;
    polling(ends);
    counters();
    sets();
    timers();
}
