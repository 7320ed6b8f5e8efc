#include "oci/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "kernel/proc.h"

const char *const status_names[] = {
        [STATUS_CREATING] = "creating", [STATUS_CREATED] = "created", [STATUS_RUNNING] = "running",
        [STATUS_PAUSED] = "paused",     [STATUS_STOPPED] = "stopped",
};
static_assert(ARRAY_SIZE(status_names) == STATUS_MAX, "each status has a name");

#define STATE_MAX_BYTES (256u << 10)

bool container_id_ok(const char *id)
{
        size_t n = strlen(id);

        if (n == 0 || n > 1024 || str_eq(id, ".") || str_eq(id, ".."))
                return false;
        for (const char *c = id; *c; c++)
                if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') &&
                    !(*c >= '0' && *c <= '9') && !strchr("+-_.", *c))
                        return false;
        return true;
}

static int check_id(const char *id, struct err *e)
{
        if (container_id_ok(id))
                return 0;
        return err_set(e, ERR_INVALID,
                       "invalid container id \"%s\": it may hold letters, digits and \"+-_.\"", id);
}

static int make_root(const char *root, struct err *e)
{
        char path[4096];

        if (snprintf(path, sizeof path, "%s", root) >= (int)sizeof path)
                return err_sys(e, ENAMETOOLONG, "cannot use state directory \"%s\"", root);
        for (char *at = path + 1; *at; at++) {
                if (*at != '/')
                        continue;
                *at = 0;
                if (mkdir(path, 0700) < 0 && errno != EEXIST)
                        return err_sys(e, errno, "cannot make directory \"%s\"", path);
                *at = '/';
        }
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make state directory \"%s\"", path);
        return 0;
}

static int lock_try(struct container *c)
{
        c->lock = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c->lock < 0)
                return -errno;
        if (flock(c->lock, LOCK_EX | LOCK_NB) == 0)
                return 0;
        c->lock = fd_close(c->lock);
        return -EWOULDBLOCK;
}

int container_make(const char *root, const char *id, struct container *ret, struct err *e)
{
        AUTO_FD int top = -1;
        int tries = 0;

        if (check_id(id, e) < 0)
                return -1;
        while ((top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
                if (errno != ENOENT || tries++)
                        return err_sys(e, errno, "cannot open state directory \"%s\"", root);
                if (make_root(root, e) < 0)
                        return -1;
        }
        if (mkdirat(top, id, 0700) < 0) {
                if (errno == EEXIST) {
                        err_set(e, ERR_EXISTS, "container with id \"%s\" already exists", id);
                        return err_hint(e, "remove it with `delete %.64s`, or choose another id",
                                        id);
                }
                return err_sys(e, errno, "cannot make directory \"%s\" in \"%s\"", id, root);
        }
        ret->dir = openat(top, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (ret->dir < 0 || lock_try(ret) < 0)
                return err_sys(e, errno, "cannot open state directory of container \"%s\"", id);
        return 0;
}

static const char *copy_str(struct arena *a, const struct json *j, const char *name)
{
        const char *s = json_str(json_get(j, name), NULL);

        return s ? arena_strdup(a, s) : NULL;
}

static void read_stdio(struct arena *a, const struct json *j, struct container *c)
{
        const struct json *list = json_get(j, "stdio");

        if (!list || list->type != JSON_ARRAY)
                return;
        for (uint32_t i = 0; i < MIN(list->n, 3u); i++) {
                const char *s = json_str(&list->items[i], NULL);

                c->stdio[i] = s ? arena_strdup(a, s) : NULL;
        }
}

static int read_state(struct arena *a, struct container *c, struct err *e)
{
        AUTO_FREE char *text = NULL;
        struct json_error je;
        struct json j;
        int64_t pid = 0;
        size_t n;
        bool making = false;
        int r = fd_read_file_at(c->dir, "state.json", STATE_MAX_BYTES, &text, &n);

        if (r == -ENOENT) {
                making = true;
                r = fd_read_file_at(c->dir, "making", STATE_MAX_BYTES, &text, &n);
        }
        /* C2: killed before the first save was whole: nothing else exists. */
        if (r == -ENOENT || (r == 0 && making && (n == 0 || text[n - 1] != '\n')))
                return 0;
        if (r < 0)
                return err_sys(e, r, "cannot read state.json of container \"%s\"", c->id);
        if (json_parse(a, text, n, NULL, &j, &je) < 0)
                return err_set(e, ERR_INVALID, "state.json of container \"%s\", line %u: %s", c->id,
                               je.line, je.what);
        c->oci_version = copy_str(a, &j, "ociVersion");
        c->bundle = copy_str(a, &j, "bundle");
        c->rootfs = copy_str(a, &j, "rootfs");
        c->created = copy_str(a, &j, "created");
        c->owner = copy_str(a, &j, "owner");
        c->cgroups = copy_str(a, &j, "cgroups");
        c->scope = copy_str(a, &j, "scope");
        c->scope_user = json_is_true(json_get(&j, "scopeUser"));
        c->rdt = copy_str(a, &j, "rdt");
        c->rdt_made = json_is_true(json_get(&j, "rdtMade"));
        c->rdt_monitor = json_is_true(json_get(&j, "rdtMonitor"));
        c->notify_socket = copy_str(a, &j, "notifySocket");
        c->time_ns = json_is_true(json_get(&j, "timeNamespace"));
        c->poststop = json_is_true(json_get(&j, "poststop"));
        read_stdio(a, &j, c);
        if (json_to_i64(json_get(&j, "pid"), &pid))
                c->pid = (pid_t)pid;
        json_to_u64(json_get(&j, "pidStart"), &c->pid_start);
        return 0;
}

int container_reload(struct arena *a, struct container *c, struct err *e)
{
        return read_state(a, c, e);
}

static int no_such(const char *root, const char *id, struct err *e)
{
        err_set(e, ERR_NOT_FOUND, "container \"%s\" does not exist", id);
        return err_hint(e, "`list` shows those below \"%.80s\"; see --root", root);
}

static int open_dir(const char *root, const char *id, struct container *ret, struct err *e)
{
        AUTO_FD int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (check_id(id, e) < 0)
                return -1;
        ret->id = id;
        ret->dir = openat(top, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (ret->dir < 0 && (errno == ENOENT || top < 0))
                return no_such(root, id, e);
        return ret->dir < 0
                       ? err_sys(e, errno, "cannot open state directory of container \"%s\"", id)
                       : 0;
}

int container_open(struct arena *a, const char *root, const char *id, struct container *ret,
                   struct err *e)
{
        return open_dir(root, id, ret, e) < 0 ? -1 : read_state(a, ret, e);
}

int container_open_locked(struct arena *a, const char *root, const char *id, int timeout_ms,
                          struct container *ret, struct err *e)
{
        struct stat st;

        if (open_dir(root, id, ret, e) < 0 || container_lock(ret, timeout_ms, e) < 0)
                return -1;
        /* It may have been removed while we waited. */
        if (fstat(ret->dir, &st) < 0 || st.st_nlink == 0)
                return no_such(root, id, e);
        return read_state(a, ret, e);
}

int container_lock(struct container *c, int timeout_ms, struct err *e)
{
        struct timespec pause = { 0, 2000000 };

        if (c->lock >= 0)
                return 0;
        for (int waited = 0;; waited += 2) {
                int r = lock_try(c);

                if (r == 0)
                        return 0;
                if (r != -EWOULDBLOCK)
                        return err_sys(e, r, "cannot lock container \"%s\"", c->id);
                if (waited >= timeout_ms)
                        return err_set(e, ERR_STATE,
                                       "container \"%s\" is busy: another command holds its lock",
                                       c->id);
                nanosleep(&pause, NULL);
        }
}

static void put_optional(struct json_writer *w, const char *name, const char *value)
{
        if (value)
                json_put_str(w, name, value);
}

static void put_stdio(struct json_writer *w, const struct container *c)
{
        if (!c->stdio[0] && !c->stdio[1] && !c->stdio[2])
                return;
        json_open(w, "stdio", '[');
        for (int i = 0; i < 3; i++)
                json_put_str(w, NULL, c->stdio[i]);
        json_close(w, ']');
}

/* The first time nothing is made yet, so that a torn write does no harm. */
static int save_making(const struct container *c, const struct buf *text)
{
        AUTO_FD int fd = openat(c->dir, "making",
                                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0 && errno == EEXIST)
                return fd_replace_at(c->dir, "making", text->s, text->len, 0600, 0);
        return fd < 0 ? -errno : fd_write_all(fd, text->s, text->len);
}

int container_save(const struct container *c, struct err *e)
{
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text, .fresh = true };
        int r;

        json_open(&w, NULL, '{');
        json_put_str(&w, "ociVersion", c->oci_version);
        json_put_str(&w, "id", c->id);
        json_put_i64(&w, "pid", c->pid);
        json_put_u64(&w, "pidStart", c->pid_start);
        json_put_str(&w, "bundle", c->bundle);
        json_put_str(&w, "rootfs", c->rootfs);
        json_put_str(&w, "created", c->created);
        json_put_str(&w, "owner", c->owner);
        put_optional(&w, "cgroups", c->cgroups);
        put_optional(&w, "scope", c->scope);
        if (c->scope_user)
                json_put_bool(&w, "scopeUser", true);
        put_optional(&w, "rdt", c->rdt);
        if (c->rdt)
                json_put_bool(&w, "rdtMade", c->rdt_made);
        if (c->rdt)
                json_put_bool(&w, "rdtMonitor", c->rdt_monitor);
        put_optional(&w, "notifySocket", c->notify_socket);
        if (c->time_ns)
                json_put_bool(&w, "timeNamespace", true);
        if (c->poststop)
                json_put_bool(&w, "poststop", true);
        put_stdio(&w, c);
        json_close(&w, '}');
        buf_putc(&text, '\n');
        r = c->pid ? fd_replace_at(c->dir, "state.json", text.s, text.len, 0600, 0)
                   : save_making(c, &text);
        return r < 0 ? err_sys(e, r, "cannot write state.json of container \"%s\"", c->id) : 0;
}

/* Empties the directory dir, two levels deep: nothing of ours goes deeper. */
static int empty_dir(int dir, int depth)
{
        AUTO_ARENA a = { 0 };
        struct strings names;
        int r = dir_names(dir, ".", &a, &names);

        for (size_t i = 0; i < names.n; i++) {
                if (unlinkat(dir, names.v[i], 0) == 0 || errno == ENOENT)
                        continue;
                AUTO_FD int sub =
                        openat(dir, names.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (sub >= 0 && depth > 0)
                        empty_dir(sub, depth - 1);
                if (unlinkat(dir, names.v[i], AT_REMOVEDIR) < 0)
                        r = -errno;
        }
        return r;
}

int container_remove(const char *root, struct container *c, struct err *e)
{
        AUTO_FD int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (top < 0 || c->dir < 0)
                return 0;
        r = empty_dir(c->dir, 1);
        if (r == 0 && unlinkat(top, c->id, AT_REMOVEDIR) < 0 && errno != ENOENT)
                r = -errno;
        return r < 0 ? err_sys(e, r, "cannot remove state directory of container \"%s\"", c->id)
                     : 0;
}

void container_done(struct container *c)
{
        c->dir = fd_close(c->dir);
        c->lock = fd_close(c->lock);
}

enum status container_status(const struct container *c)
{
        struct cgroup cgroup;
        AUTO_ARENA a = { 0 };
        struct stat st;

        if (c->pid == 0)
                return STATUS_CREATING;
        if (!proc_alive(c->pid, c->pid_start))
                return STATUS_STOPPED;
        if (fstatat(c->dir, "start", &st, AT_SYMLINK_NOFOLLOW) == 0)
                return STATUS_CREATED;
        if (c->cgroups && cgroup_decode(&a, c->cgroups, &cgroup) == 0 &&
            cgroup_is_frozen(&cgroup) == 1)
                return STATUS_PAUSED;
        return STATUS_RUNNING;
}

int container_spec(struct arena *a, const struct container *c, struct spec *ret, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t n;
        int r = fd_read_file_at(c->dir, "config.json", SPEC_MAX_BYTES, &text, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read the saved configuration of container \"%s\"",
                               c->id);
        /* Strings of the tree point into the arena, not into text. */
        if (spec_parse(a, text, n, ret, e) < 0)
                return -1;
        ret->linux_.namespaces[NS_TIME].present |= c->time_ns;
        return 0;
}

int container_cgroup(struct arena *a, const struct container *c, struct cgroup *ret, struct err *e)
{
        int r;

        *ret = (struct cgroup){ .v2 = -1 };
        if (!c->cgroups)
                return 0;
        r = cgroup_decode(a, c->cgroups, ret);
        return r < 0 ? err_sys(e, r, "cannot read the cgroups of container \"%s\"", c->id) : 0;
}

void container_state_json(const struct container *c, enum status status,
                          const struct key_values *annotations, unsigned indent, struct buf *out)
{
        struct json_writer w = { .out = out, .indent = indent, .fresh = true };

        json_open(&w, NULL, '{');
        json_put_str(&w, "ociVersion", c->oci_version);
        json_put_str(&w, "id", c->id);
        json_put_i64(&w, "pid", status == STATUS_STOPPED ? 0 : c->pid);
        json_put_str(&w, "status", status_names[status]);
        json_put_str(&w, "bundle", c->bundle);
        json_put_str(&w, "rootfs", c->rootfs);
        json_put_str(&w, "created", c->created);
        if (annotations && annotations->n) {
                json_put_key_values(&w, "annotations", annotations);
        }
        json_put_str(&w, "owner", c->owner);
        json_close(&w, '}');
}

int container_list(struct arena *a, const char *root, struct strings *ret, struct err *e)
{
        AUTO_FD int top = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct strings names = { 0 };
        int r = top < 0 ? -errno : dir_names(top, ".", a, &names);

        *ret = (struct strings){ 0 };
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return err_sys(e, r, "cannot read state directory \"%s\"", root);
        for (size_t i = 0; i < names.n; i++) {
                struct stat st;

                if (container_id_ok(names.v[i]) &&
                    fstatat(top, names.v[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
                        strings_add(a, ret, names.v[i]);
        }
        return 0;
}
