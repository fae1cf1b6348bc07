// Says what each call answers, a line for each case: on Linux and below ToroV the lines should be the same. The cases follow
// the manual pages: what they promise, and each error that can be had by one process without rights. Runs in an empty folder
// but for the links that the test has put there: `loop` to itself, `link` to `file`, `gone` to nothing, `way` to `folder`.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char *family;

// Where nothing is, and what may only be read.
static char *nowhere, *fixed;

static long tell(const char *name, long result) {
    if (result == -1) printf("%s %s: %s\n", family, name, strerrorname_np(errno));
    else printf("%s %s: %ld\n", family, name, result);
    return result;
}

// A case whose result is the same on every machine, and one of which only matters whether it works, or holds.
#define IS(name, what) tell(name, (errno = 0, (long)(what)))
#define WORKS(name, what) (tell(name, (errno = 0, (long)(what)) == -1 ? -1 : 0))
#define HOLDS(name, what) printf("%s %s: %s\n", family, name, (what) ? "yes" : "no")

// Closes what the cases before have left open.
static void sweep(void) {
    for (int fd = 3; fd < 200; fd++) close(fd);
}

#include "conformance/descriptors.h"
#include "conformance/files.h"
#include "conformance/memory.h"
#include "conformance/names.h"
#include "conformance/process.h"
#include "conformance/signals.h"
#include "conformance/sockets.h"
#include "conformance/threads.h"
#include "conformance/time.h"
#include "conformance/waiting.h"

int main(void) {
    static const struct {
        const char *name;
        void (*cases)(void);
    } families[] = {{"files", files}, {"names", names}, {"descriptors", descriptors}, {"waiting", waiting},
                    {"sockets", sockets}, {"memory", memory}, {"time", times_}, {"signals", signals},
                    {"threads", threads}, {"process", process}};
    // On Linux root has rights that a program below ToroV has not.
    if (getuid() == 0 && (setgid(1000) != 0 || setuid(1000) != 0)) return 2;
    signal(SIGPIPE, SIG_IGN);
    nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fixed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; at < sizeof families / sizeof *families; at++) {
        family = families[at].name;
        families[at].cases();
        sweep();
        fflush(stdout);
    }
    return 0;
}
