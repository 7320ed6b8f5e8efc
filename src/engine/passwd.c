/* Lines that a container's /etc/passwd and /etc/group have beyond the image's, as podman adds them:
 * its user's, where the image knows none of that number, and those of --hostuser. The files are
 * copies, bound over the image's. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/sandbox-internal.h"
#include "engine/user.h"
#include "kernel/resolve.h"

/* ---- lines ---- */

/* The values that the caller's own line may name. */
static const char *expand(struct run *r, const char *line, const struct user *u)
{
        struct arena *a = &r->arena;
        struct strings v = { 0 };

        strings_add(a, &v, arena_printf(a, "USERNAME=%u", u->uid));
        strings_add(a, &v, arena_printf(a, "UID=%u", u->uid));
        strings_add(a, &v, arena_printf(a, "GID=%u", u->gid));
        strings_add(a, &v, arena_printf(a, "HOME=%s", u->home));
        strings_add(a, &v, "NAME=container user");
        strings_add(a, &v, arena_printf(a, "GROUPNAME=%u", u->gid));
        return settings_expand(a, line, &v);
}

static void put_line(struct buf *out, const char *line)
{
        if (out->len && out->s[out->len - 1] != '\n')
                buf_putc(out, '\n');
        buf_printf(out, "%s\n", line);
}

/* The sixth of the seven fields. */
static const char *home_of(struct arena *a, const char *line, const char *otherwise)
{
        const char *part;
        size_t len, n = 0;

        while (str_next(&line, ':', &part, &len))
                if (n++ == 5 && len)
                        return arena_strndup(a, part, len);
        return otherwise;
}

/* The working directory is the image's choice, and may hold whole lines of its own. */
static bool fits_field(const char *text)
{
        return !text[strcspn(text, ":\n\r")];
}

static void put_user(struct run *r, struct user *u, struct buf *out)
{
        const char *line;

        u->home = fits_field(r->settings.workdir) ? r->settings.workdir : "/";
        line = expand(r,
                      r->s->passwd_entry ? r->s->passwd_entry
                                         : "$USERNAME:*:$UID:$GID:$NAME:$HOME:/bin/sh",
                      u);
        put_line(out, line);
        u->home = home_of(&r->arena, line, u->home);
}

/* One of the host's, with the number that it has there. */
static int put_host_user(struct run *r, const char *name, struct buf *out, struct err *e)
{
        AUTO_FD int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const char *f[USER_FIELDS], *mine[USER_FIELDS];

        if (host < 0 || !user_line(&r->arena, user_db(&r->arena, host, "etc/passwd"), name, f))
                return err_set(e, ERR_NOT_FOUND, "--hostuser: there is no user \"%s\" on this host",
                               name);
        if (user_line(&r->arena, buf_str(out), f[0], mine))
                return err_set(e, ERR_INVALID, "--hostuser: the image has a user \"%s\" already",
                               f[0]);
        put_line(out, arena_printf(&r->arena, "%s:*:%s:%s:%s:/:/bin/sh", f[0], f[2], f[3],
                                   *f[4] ? f[4] : f[0]));
        return 0;
}

/* ---- files ---- */

/* Whether the image has something else there, on which no file can be bound. */
static bool is_odd(const struct run *r, const char *path)
{
        AUTO_FD int fd = r->root < 0 ? -1 : resolve_in(r->root, path, 0, 0);
        struct stat st;

        return fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
}

static int bind_file(struct run *r, const char *name, const struct buf *text, struct err *e)
{
        static const char *const options[] = { "nosuid", "nodev", "noexec", NULL };
        const char *path = arena_printf(&r->arena, "etc/%s", name);
        int status;

        if (is_odd(r, path))
                return 0;
        mounts_bind(&r->arena, &r->mounts,
                    arena_printf(&r->arena, "%s/%s", r->workspace.path, path),
                    arena_printf(&r->arena, "/%s", path), options)
                ->stored = true;
        if (r->plan)
                return 0;
        AUTO_FD int fd =
                openat(r->workspace.dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        status = fd < 0 ? -errno : fd_write_all(fd, buf_str(text), text->len);
        if (status == 0 && fchmod(fd, 0644) < 0)
                status = -errno;
        return status < 0 ? err_sys(e, status, "cannot write \"%s/%s\"", r->workspace.path, path)
                          : 0;
}

static int add_group(struct run *r, const struct user *u, struct err *e)
{
        AUTO_BUF text = { 0 };

        if (u->group_known && !r->s->group_entry)
                return 0;
        buf_puts(&text, user_db(&r->arena, r->root, "etc/group"));
        put_line(&text,
                 r->s->group_entry
                         ? expand(r, r->s->group_entry, u)
                         : arena_printf(&r->arena, "%u:x:%u:%s", u->gid, u->gid,
                                        u->known ? "" : arena_printf(&r->arena, "%u", u->uid)));
        return bind_file(r, "group", &text, e);
}

int passwd_add(struct run *r, struct user *u, struct err *e)
{
        const struct sandbox *s = r->s;
        bool missing = !u->known && (u->uid != 0 || s->passwd_entry); /* root needs no line */
        AUTO_BUF text = { 0 };

        if (!s->image || !s->passwd)
                return 0;
        if ((missing || s->host_users.n) && !mounts_has(&r->mounts, "/etc/passwd")) {
                buf_puts(&text, user_db(&r->arena, r->root, "etc/passwd"));
                if (missing)
                        put_user(r, u, &text);
                for (size_t i = 0; i < s->host_users.n; i++)
                        if (put_host_user(r, s->host_users.v[i], &text, e) < 0)
                                return -1;
                if (bind_file(r, "passwd", &text, e) < 0)
                        return -1;
        }
        return (missing || s->group_entry) && !mounts_has(&r->mounts, "/etc/group")
                       ? add_group(r, u, e)
                       : 0;
}
