/* short-name-aliases.conf: which full names somebody has chosen for short ones. podman and its
 * relatives keep the same file, under the same lock. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/registries-internal.h"

#define ALIASES "short-name-aliases.conf"

/* The directory that it is in; NULL: this user has none. */
static const char *directory(struct arena *a, const struct registry_options *o)
{
        const char *root = o->root ? o->root : "", *cache = getenv("XDG_CACHE_HOME");
        const char *home = registries_home(a, o);

        if (geteuid() == 0)
                return arena_printf(a, "%s/var/cache/containers", root);
        if (!str_empty(cache))
                return arena_printf(a, "%s%s/containers", root, cache);
        return home ? arena_printf(a, "%s/.cache/containers", home) : NULL;
}

int registries_chosen(struct arena *a, const struct registry_options *o, struct registries *r,
                      struct err *e)
{
        const char *dir = directory(a, o), *path;
        struct json j;
        bool there;

        if (!dir)
                return 0;
        path = arena_printf(a, "%s/" ALIASES, dir);
        if (registries_read(a, path, false, &j, &there, e) < 0)
                return -1;
        return there ? registries_aliases(a, path, &j, r, e) : 0;
}

/* ---- adding one ---- */

/* mkdir -p. */
static int make_directories(char *path)
{
        for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
                *slash = 0;
                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int lock(int dir)
{
        struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        AUTO_FD int fd = openat(dir, ALIASES ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        if (fd < 0)
                return -errno;
        while (fcntl(fd, F_OFD_SETLKW, &all) < 0)
                if (errno != EINTR)
                        return -errno;
        return TAKE_FD(fd);
}

/* A basic string of TOML; names of images hold nothing that would have to be escaped. */
static void put(struct buf *out, const char *name, const char *full)
{
        buf_printf(out, "  \"%s\" = \"%s\"\n", name, full);
}

static int rewrite(struct arena *a, int dir, const char *path, const char *name, const char *full,
                   struct err *e)
{
        struct registries there = { .n = 0 };
        AUTO_BUF text = { 0 };
        struct json j;
        bool exists;
        int r;

        if (registries_read(a, path, false, &j, &exists, e) < 0 ||
            (exists && registries_aliases(a, path, &j, &there, e) < 0))
                return -1;
        buf_puts(&text, "[aliases]\n");
        for (size_t i = 0; i < there.aliases.n; i++)
                if (!str_eq(there.aliases.v[i].key, name))
                        put(&text, there.aliases.v[i].key, there.aliases.v[i].value);
        put(&text, name, full);
        r = fd_replace_at(dir, ALIASES, text.s, text.len, 0644, 0);
        return r < 0 ? err_sys(e, r, "cannot write '%s'", path) : 0;
}

int registry_short_name_record(struct arena *a, const struct reference *r,
                               const struct reference *full, const struct registry_options *o,
                               struct err *e)
{
        const char *place = directory(a, o);
        int made;

        if (!place)
                return err_set(e, ERR_NOT_FOUND, "there is no $HOME to keep aliases in");
        made = make_directories(arena_strdup(a, place));
        AUTO_FD int dir = made < 0 ? made : open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return err_sys(e, made < 0 ? made : errno, "cannot use '%s'", place);
        AUTO_FD int held = lock(dir);
        if (held < 0)
                return err_sys(e, held, "cannot lock '%s/" ALIASES "'", place);
        return rewrite(a, dir, arena_printf(a, "%s/" ALIASES, place), r->path,
                       reference_repository(a, full), e);
}
