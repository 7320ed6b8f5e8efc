#include "base/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"

static bool is_dots(const char *name)
{
        return str_eq(name, ".") || str_eq(name, "..");
}

/* A description of its own: offsets are a description's, and a reader would move the other's. */
static DIR *open_own(int dir, const char *path)
{
        int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d)
                fd_close(fd);
        return d;
}

static int by_bytes(const void *x, const void *y)
{
        return strcmp(*(const char *const *)x, *(const char *const *)y);
}

int dir_names(int dir, const char *path, struct arena *a, struct strings *ret)
{
        DIR *d = open_own(dir, path);
        const struct dirent *entry;
        int r;

        *ret = (struct strings){ 0 };
        if (!d)
                return -errno;
        while (errno = 0, (entry = readdir(d)))
                if (!is_dots(entry->d_name))
                        strings_add(a, ret, arena_strdup(a, entry->d_name));
        r = -errno;
        closedir(d);
        if (ret->n)
                qsort(ret->v, ret->n, sizeof *ret->v, by_bytes);
        return r;
}

bool dir_is_empty(int dir)
{
        DIR *d = open_own(dir, ".");
        const struct dirent *entry = NULL;

        if (!d)
                return false;
        while ((entry = readdir(d)) && is_dots(entry->d_name))
                ;
        closedir(d);
        return !entry;
}
