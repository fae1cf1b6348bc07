/* The first and only program of the Linux guest besides its server: loads the modules of its devices
 * and file systems, sets the address, mounts, starts the server.
 *
 * The kernel hands it `toro_ip=A.B.C.D` (a /24), `toro_bus=pci|mmio` and perhaps `toro_mount=PATH:KIND:SOURCE,...` from its
 * command line in the environment. The source `disk` is the disk that holds such a file system.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void set(const char *path, const char *value)
{
    int file = open(path, O_WRONLY);
    if (file < 0 || write(file, value, strlen(value)) < 0)
        perror(path);
    close(file);
}

/* Loads the modules listed in /modules but for those of the bus that this machine does not have. */
static void load_modules(void)
{
    const char *bus = getenv("toro_bus"), *other = bus && !strcmp(bus, "mmio") ? "pci" : "mmio";
    char line[128];
    FILE *list = fopen("/modules", "r");
    while (list && fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        if (strstr(line, other))
            continue;
        int file = open(line, O_RDONLY | O_CLOEXEC);
        if (file < 0 || syscall(SYS_finit_module, file, "", 0))
            perror(line);
        close(file);
        unlink(line);
    }
}

static void interface_up(int socket, const char *name, const char *address)
{
    struct ifreq request = {0};
    struct sockaddr_in *in = (void *)&request.ifr_addr;
    strcpy(request.ifr_name, name);
    in->sin_family = AF_INET;
    if (address) {
        inet_pton(AF_INET, address, &in->sin_addr);
        if (ioctl(socket, SIOCSIFADDR, &request))
            perror("SIOCSIFADDR");
        in->sin_addr.s_addr = htonl(0xffffff00);
        ioctl(socket, SIOCSIFNETMASK, &request);
    }
    memset(&request.ifr_addr, 0, sizeof request.ifr_addr);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(socket, SIOCSIFFLAGS, &request))
        perror(name);
}

/* Mounts what the words say. Buses number disks in orders of their own, so each is tried. */
static void mount_all(char *words)
{
    for (char *word = words ? strtok(words, ",") : NULL; word; word = strtok(NULL, ",")) {
        char path[64], kind[16], source[32], disk[] = "/dev/vda";
        if (sscanf(word, "%63[^:]:%15[^:]:%31s", path, kind, source) != 3)
            continue;
        mkdir(path, 0755);
        unsigned long flags = strcmp(kind, "ext4") ? 0 : MS_RDONLY;
        int is_disk = !strcmp(source, "disk"), failed = -1;
        do
            failed = mount(is_disk ? disk : source, path, kind, flags, "");
        while (failed && is_disk && ++disk[7] < 'e');
        if (failed)
            perror(word);
    }
}

int main(void)
{
    mount("dev", "/dev", "devtmpfs", 0, 0);
    mount("proc", "/proc", "proc", 0, 0);
    int console = open("/dev/console", O_RDWR);
    for (int fd = 0; console >= 0 && fd < 3; fd++)
        dup2(console, fd);
    load_modules();
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    interface_up(s, "lo", NULL);
    interface_up(s, "eth0", getenv("toro_ip"));
    /* What an administrator would set: room for bursts of connects, and for a file of 1 MiB
     * in one call of sendfile. */
    set("/proc/sys/vm/overcommit_memory", "1");
    set("/proc/sys/net/core/somaxconn", "1024");
    set("/proc/sys/net/ipv4/tcp_wmem", "4096 2097152 8388608");
    set("/proc/sys/net/ipv4/tcp_slow_start_after_idle", "0");
    mount_all(getenv("toro_mount"));
    struct rlimit files = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &files);
    puts("linux: starting the server");
    fflush(stdout);
    pid_t server = fork();
    if (!server) {
        setsid();
        char *words[8] = {0}, line[64];
        FILE *command = fopen("/command", "r");
        for (int n = 0; n < 7 && command && fgets(line, sizeof line, command); n++) {
            line[strcspn(line, "\n")] = 0;
            words[n] = strdup(line);
        }
        execv("/bin/server", words);
        perror("/bin/server");
        _exit(1);
    }
    for (;;) {
        int status;
        pid_t ended = wait(&status);
        if (ended == server)
            printf("linux: the server ended with %d\n", status);
        if (ended < 0)
            pause();
    }
}
