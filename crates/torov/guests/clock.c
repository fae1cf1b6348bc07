// Reads clocks in every way that there is, and checks that they agree; runs on Linux as well.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) do { if (!(what)) { printf("line %d: %s, errno %d\n", __LINE__, #what, errno); exit(1); } } while (0)
#define GIGA 1000000000ll

static long long nanos(struct timespec time) { return time.tv_sec * GIGA + time.tv_nsec; }

// By a function of the library, which knows the vDSO.
static long long look(clockid_t clock) {
    struct timespec time = { -1, -1 };
    CHECK(clock_gettime(clock, &time) == 0 && time.tv_nsec >= 0 && time.tv_nsec < GIGA);
    return nanos(time);
}

// By the call.
static long long ask(clockid_t clock) {
    struct timespec time = { -1, -1 };
    CHECK(syscall(SYS_clock_gettime, clock, &time, 0) == 0);
    return nanos(time);
}

static void between(long rounds) {
    for (long at = 0; at < rounds; at++) {
        long long before = ask(CLOCK_MONOTONIC), now = look(CLOCK_MONOTONIC), after = ask(CLOCK_MONOTONIC);
        CHECK(before <= now && now <= after);
    }
}

// The real time may be set meanwhile, by little.
static int is_near(long long a, long long b) { return llabs(a - b) < 60 * GIGA; }

static void others(void) {
    struct timespec spec;
    struct timeval now;
    struct timezone zone = { 77, 77 };
    long long real = ask(CLOCK_REALTIME);
    CHECK(is_near(look(CLOCK_REALTIME), real) && is_near(look(CLOCK_REALTIME_COARSE), real));
    CHECK(gettimeofday(&now, &zone) == 0 && is_near(now.tv_sec * GIGA + now.tv_usec * 1000, real));
    CHECK(now.tv_usec >= 0 && now.tv_usec < 1000000);
    CHECK(is_near(time(NULL) * GIGA, real));
    CHECK(is_near(look(CLOCK_MONOTONIC_COARSE), ask(CLOCK_MONOTONIC)));
    CHECK(look(CLOCK_BOOTTIME) > 0 && look(CLOCK_MONOTONIC_RAW) > 0 && look(CLOCK_PROCESS_CPUTIME_ID) > 0);
    CHECK(clock_gettime(77, &spec) == -1 && errno == EINVAL);
    CHECK(clock_getres(CLOCK_MONOTONIC, &spec) == 0 && nanos(spec) == 1);
    CHECK(clock_getres(CLOCK_REALTIME, NULL) == 0);
    CHECK(clock_getres(77, &spec) == -1 && errno == EINVAL);
    CHECK(sched_getcpu() >= 0);
}

static _Atomic long long latest;

// What one thread has read, no other reads an earlier time after.
static void *forward(void *rounds) {
    for (long at = 0; at < (long)rounds; at++) {
        long long known = atomic_load(&latest), now = look(CLOCK_MONOTONIC);
        CHECK(now >= known);
        while (known < now && !atomic_compare_exchange_weak(&latest, &known, now)) {}
    }
    return NULL;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "agree";
    long rounds = argc > 2 ? atol(argv[2]) : 1000;
    if (!strcmp(what, "agree")) {
        others();
        between(rounds);
        pthread_t threads[4];
        for (int at = 0; at < 4; at++) CHECK(pthread_create(threads + at, NULL, forward, (void *)(rounds * 20)) == 0);
        for (int at = 0; at < 4; at++) CHECK(pthread_join(threads[at], NULL) == 0);
        between(rounds);
    }
    if (!strcmp(what, "read")) forward((void *)rounds);
    if (!strcmp(what, "denied")) {
        struct timespec time;
        CHECK(getauxval(AT_SYSINFO_EHDR) == 0);
        CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == -1 && errno == EPERM);
    }
    if (!strcmp(what, "hidden")) {
        CHECK(getauxval(AT_SYSINFO_EHDR) != 0 && look(CLOCK_MONOTONIC) > 0);
        struct timeval now;
        CHECK(syscall(SYS_gettimeofday, &now, NULL, 0) == -1 && errno == EPERM);
    }
    // Where the clock has run out, it is a call that fails.
    while (!strcmp(what, "fault") && look(CLOCK_MONOTONIC)) clock_gettime(CLOCK_MONOTONIC, (struct timespec *)rounds);
    // How long a look takes, in nanoseconds.
    if (!strcmp(what, "cost")) {
        long long begin = look(CLOCK_MONOTONIC);
        for (long at = 0; at < rounds; at++) look(CLOCK_MONOTONIC);
        printf("%.1f\n", (double)(look(CLOCK_MONOTONIC) - begin) / rounds);
    }
    puts("ok");
    return 0;
}
