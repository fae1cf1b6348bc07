// Writes a file below /data and reads it back: the original's WriteFile.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    static const char text[] = "written in a virtual machine\n";
    char back[64] = {0};
    int fd = open("/data/file.txt", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, sizeof text - 1) != sizeof text - 1 || lseek(fd, 0, SEEK_SET) != 0 ||
        read(fd, back, sizeof back) != sizeof text - 1 || strcmp(text, back) != 0) {
        perror("/data/file.txt");
        return 1;
    }
    close(fd);
    puts("ok");
    return 0;
}
