// Writes bytes by the ring while somebody is in its way; what is written must be exact all the same.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(what) do { if (!(what)) { fprintf(stderr, "line %d: %s, errno %d\n", __LINE__, #what, errno); exit(1); } } while (0)

static volatile sig_atomic_t is_told;

static void tell(int signal) { (void)signal, is_told = 1; }

static void put(long at) { CHECK(write(1, "abcdefghij" + at % 10, 1) == 1); }

// Until it is told to stop: how many that were is for standard error.
static void until_told(void) {
    struct sigaction action = { .sa_handler = tell, .sa_flags = SA_RESTART };
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    long at = 0;
    while (!is_told) put(at++);
    fprintf(stderr, "%ld\n", at);
}

// Where the page of the slots is for a program at 0x400000: two words, then a place of 128 bytes for each thread.
#define PARKED ((volatile uint32_t *)0x3fe000)
#define LOOKS ((volatile uint32_t *)0x3fe004)
#define PLACE(thread) ((volatile uint64_t *)(0x3fe000 + 128 * ((thread) + 1)))

static atomic_int is_over;

// A thread that writes what it likes to all words but those of the other's slot, and now and then posts what looks like a call. None
// of these is `write`: what it asks for so is done, if it is allowed.
static void *scribble(void *unused) {
    static const uint32_t numbers[] = { 0, 5, 8, 39, 96, 110, 228, 231, 100000, 0xffffffff, 0x546f72 };
    uint64_t chance = 88172645463325252u;
    while (!atomic_load(&is_over)) {
        chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
        volatile uint64_t *place = PLACE(1 + chance % 16);
        for (int word = 1; word < 16; word++) place[word] = chance * (uint64_t)word;
        uint64_t number = numbers[(chance >> 8) % (sizeof numbers / sizeof *numbers)];
        place[0] = number << 32 | ((chance >> 16) % 6);
        *PARKED = (uint32_t)(chance >> 24) % 3 == 0;
        *LOOKS = 1 + (uint32_t)(chance >> 32) % 5000;
    }
    return unused;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    long number = argc > 2 ? atol(argv[2]) : 1000;
    // While there is one thread, so that the site is patched.
    for (long at = 0; at < 10; at++) put(at);
    if (!strcmp(what, "until-told")) {
        until_told();
        return 0;
    }
    pthread_t thread;
    int is_scribbled = !strcmp(what, "scribble");
    CHECK(!is_scribbled || pthread_create(&thread, NULL, scribble, NULL) == 0);
    for (long at = 10; at < number; at++) put(at);
    atomic_store(&is_over, 1);
    CHECK(!is_scribbled || pthread_join(thread, NULL) == 0);
    return 0;
}
