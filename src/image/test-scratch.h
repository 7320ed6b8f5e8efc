/* struct scratch: a directory for one test of files that are looked for in usual places. */
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

struct scratch {
        char dir[64];
        struct arena a;
};

/* 0 or -1. What could lead to the caller's own files is taken out of the environment. */
static inline int scratch_open(struct scratch *s)
{
        static const char *const foreign[] = { "XDG_CONFIG_HOME", "DOCKER_CONFIG",
                                               "REGISTRY_AUTH_FILE", "CONTAINERS_REGISTRIES_CONF" };

        memcpy(s->dir, "/tmp/berth-test-image.XXXXXX", sizeof "/tmp/berth-test-image.XXXXXX");
        for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
                unsetenv(foreign[i]);
        return mkdtemp(s->dir) ? 0 : -1;
}

static inline int scratch_remove_entry(const char *path, const struct stat *st, int type,
                                       struct FTW *ftw)
{
        return remove(path);
}

static inline void scratch_done(struct scratch *s)
{
        nftw(s->dir, scratch_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        arena_done(&s->a);
}

/* Writes a file, with the directories that it takes: its path. Failures end the test. */
static inline const char *scratch_put(struct scratch *s, const char *name, const char *text,
                                      mode_t mode)
{
        char *path = arena_printf(&s->a, "%s/%s", s->dir, name);
        int fd;

        for (char *at = path + strlen(s->dir) + 1; (at = strchr(at, '/')); at++) {
                *at = 0;
                mkdir(path, 0755);
                *at = '/';
        }
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
        if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0)
                abort();
        close(fd);
        return path;
}
