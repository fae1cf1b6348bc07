// To be looked at with gdb: a variable, a function, threads, vector registers, a crash, and one that is mended.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

volatile int counter = 40;
volatile double fraction = 1.5;
atomic_int begun, over;

__attribute__((noinline)) int add(int a, int b) {
    int sum = a + b;
    counter = sum;
    return sum;
}

__attribute__((noinline)) double half(double value) { return value / 2; }

__attribute__((noinline)) static void *spin(void *argument) {
    (void)argument;
    begun++;
    while (!over) {}
    return NULL;
}

__attribute__((noinline)) void crash(volatile int *where) { *where = 1; }

static int *page;
static void mend(int number) { mprotect(page, 4096, number ? PROT_READ | PROT_WRITE : PROT_NONE); }

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    pthread_t thread;
    if (!strcmp(what, "threads")) {
        pthread_create(&thread, NULL, spin, NULL);
        while (!begun) {}
        add(1, 2);
        over = 1;
        pthread_join(thread, NULL);
    }
    if (!strcmp(what, "spin")) {
        puts("spinning");
        fflush(stdout);
        spin(NULL);
    }
    if (!strcmp(what, "both")) {
        pthread_create(&thread, NULL, spin, NULL);
        while (!begun) {}
    }
    if (!strcmp(what, "crash") || !strcmp(what, "both")) crash(NULL);
    if (!strcmp(what, "mend")) {
        page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        signal(SIGSEGV, mend);
        crash(page);
    }
    fraction = half(fraction);
    int sum = add(counter, 2);
    printf("%d %g\n", sum, fraction);
    return 3;
}
