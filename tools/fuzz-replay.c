/* A main for fuzzers outside libFuzzer: feeds them each file of the given corpora once. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(int dir, const char *name)
{
        int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        struct stat st;
        uint8_t *data;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                perror(name);
                return -1;
        }
        /* Of its exact size, so that a read past the end is seen. */
        data = malloc((size_t)st.st_size ? (size_t)st.st_size : 1);
        n = data ? read(fd, data, (size_t)st.st_size) : -1;
        close(fd);
        if (n == st.st_size)
                LLVMFuzzerTestOneInput(data, (size_t)n);
        else
                perror(name);
        free(data);
        return n == st.st_size ? 0 : -1;
}

static int replay_all(const char *path)
{
        DIR *dir = opendir(path);
        int count = 0, failed = 0;

        if (!dir) {
                perror(path);
                return -1;
        }
        for (struct dirent *d; (d = readdir(dir));) {
                if (d->d_name[0] == '.')
                        continue;
                count++;
                failed |= replay(dirfd(dir), d->d_name);
        }
        closedir(dir);
        printf("%s: %d inputs\n", path, count);
        return count ? failed : -1; /* an empty corpus tests nothing */
}

int main(int argc, char **argv)
{
        int failed = argc < 2 ? -1 : 0;

        for (int i = 1; i < argc; i++)
                failed |= replay_all(argv[i]);
        return failed ? 1 : 0;
}
