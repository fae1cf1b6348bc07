// Clocks, sleep, and timers that send signals.

static volatile sig_atomic_t rung;
static void ring(int number) { rung = number; }

static void times_(void) {
    struct timespec now, later, zero = {0, 0}, wrong = {0, 1000000000}, negative = {-1, 0};
    struct timeval of_day;
    static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
                                 CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        IS("clock_gettime", syscall(SYS_clock_gettime, clocks[i], &now));
        IS("clock_getres", clock_getres(clocks[i], &later));
        HOLDS("clock_gettime: is plain", now.tv_nsec >= 0 && now.tv_nsec < 1000000000 && later.tv_sec == 0);
    }
    IS("clock_gettime: a clock that nobody knows", syscall(SYS_clock_gettime, 99, &now));
    IS("clock_gettime: to nowhere", syscall(SYS_clock_gettime, 0, nowhere));
    IS("clock_getres: a clock that nobody knows", clock_getres(99, &now));
    IS("clock_getres: not told", clock_getres(CLOCK_MONOTONIC, NULL));
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    IS("nanosleep: a moment", syscall(SYS_nanosleep, &(struct timespec){0, 1000000}, NULL));
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &later);
    HOLDS("nanosleep: so long at least", (later.tv_sec - now.tv_sec) * 1000000000 + later.tv_nsec - now.tv_nsec >= 1000000);
    IS("nanosleep: not at all", nanosleep(&zero, NULL));
    IS("nanosleep: too many nanoseconds", nanosleep(&wrong, NULL));
    IS("nanosleep: negative", nanosleep(&negative, NULL));
    IS("nanosleep: nowhere", nanosleep((struct timespec *)nowhere, NULL));
    IS("clock_nanosleep: until now", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &now, NULL));
    IS("clock_nanosleep: a clock that nobody knows", syscall(SYS_clock_nanosleep, 99, 0, &zero, NULL));
    IS("clock_nanosleep: the thread's clock", syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &zero, NULL));
    IS("clock_nanosleep: too many nanoseconds", syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &wrong, NULL));
    IS("gettimeofday", syscall(SYS_gettimeofday, &of_day, NULL));
    IS("gettimeofday: to nowhere", syscall(SYS_gettimeofday, nowhere, NULL));
    HOLDS("time", syscall(SYS_time, NULL) - of_day.tv_sec < 100);
    IS("time: to nowhere", syscall(SYS_time, nowhere));
    struct tms spent;
    HOLDS("times", times(&spent) > 0 && spent.tms_cutime == 0);
    IS("times: to nowhere", syscall(SYS_times, nowhere));
    struct rusage usage;
    IS("getrusage: RUSAGE_SELF", getrusage(RUSAGE_SELF, &usage));
    IS("getrusage: RUSAGE_THREAD", getrusage(RUSAGE_THREAD, &usage));
    IS("getrusage: RUSAGE_CHILDREN", getrusage(RUSAGE_CHILDREN, &usage));
    HOLDS("getrusage: there are none", usage.ru_utime.tv_sec == 0 && usage.ru_utime.tv_usec == 0 && usage.ru_maxrss == 0);
    IS("getrusage: whose nobody knows", getrusage(77, &usage));
    IS("getrusage: to nowhere", getrusage(RUSAGE_SELF, (struct rusage *)nowhere));
    struct itimerval timer = {.it_value.tv_usec = 1000}, got, bad = {.it_value.tv_usec = 1000000};
    signal(SIGALRM, ring);
    IS("setitimer: soon", setitimer(ITIMER_REAL, &timer, NULL));
    while (!rung) pause();
    IS("setitimer: the signal", rung);
    IS("getitimer: is off", (getitimer(ITIMER_REAL, &got), got.it_value.tv_usec));
    IS("setitimer: too many microseconds", setitimer(ITIMER_REAL, &bad, NULL));
    IS("setitimer: a timer that nobody knows", setitimer(9, &timer, NULL));
    IS("setitimer: nowhere", syscall(SYS_setitimer, ITIMER_REAL, nowhere, NULL));
    IS("getitimer: a timer that nobody knows", getitimer(9, &got));
    IS("getitimer: to nowhere", getitimer(ITIMER_REAL, (struct itimerval *)nowhere));
    IS("setitimer: ITIMER_PROF", setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL));
    IS("alarm: none before", alarm(100));
    HOLDS("alarm: what is left of it", alarm(0) >= 50);
    timer_t clock;
    int id = 0;
    IS("timer_create: a clock that nobody knows", syscall(SYS_timer_create, 99, NULL, &id));
    IS("timer_create: to nowhere", syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, nowhere));
    struct sigevent event = {.sigev_notify = 77};
    IS("timer_create: a way that nobody knows", syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99};
    IS("timer_create: a signal that nobody knows", syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    event = (struct sigevent){.sigev_notify = SIGEV_NONE};
    IS("timer_create", timer_create(CLOCK_MONOTONIC, &event, &clock));
    struct itimerspec long_, got_ = {.it_value.tv_sec = 1000};
    long_ = got_;
    IS("timer_settime", timer_settime(clock, 0, &long_, NULL));
    IS("timer_gettime", timer_gettime(clock, &got_));
    HOLDS("timer_gettime: some seconds less", got_.it_value.tv_sec >= 900);
    long_.it_value.tv_nsec = 1000000000;
    IS("timer_settime: too many nanoseconds", timer_settime(clock, 0, &long_, NULL));
    IS("timer_settime: nowhere", timer_settime(clock, 0, (struct itimerspec *)nowhere, NULL));
    IS("timer_getoverrun", timer_getoverrun(clock));
    IS("timer_delete", timer_delete(clock));
    IS("timer_delete: again", syscall(SYS_timer_delete, 4711));
    IS("timer_gettime: there is none", syscall(SYS_timer_gettime, 4711, &got_));
    IS("timer_settime: there is none", syscall(SYS_timer_settime, 4711, 0, &got_, NULL));
    IS("timer_getoverrun: there is none", syscall(SYS_timer_getoverrun, 4711));
    signal(SIGALRM, SIG_DFL);
}
