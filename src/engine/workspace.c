#include "engine/workspace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/store-container.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/tree.h"
#include "oci/container.h"
#include "oci/runtime.h"

#define RECORD WORKSPACE_RECORD
#define RECORD_MAX 65536
#define LASTING "container.json"
/* Not ready yet: no container's id begins with it. */
#define FRESH ".new-"

static int make_path(const char *path)
{
        char part[PATH_MAX];

        for (const char *at = path; (at = strchr(at + 1, '/')) != NULL;) {
                snprintf(part, sizeof part, "%.*s", (int)(at - path), path);
                if (mkdir(part, 0711) < 0 && errno != EEXIST)
                        return -errno;
        }
        return mkdir(path, 0711) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_record(int dir, const struct workspace_owner *o, struct err *e)
{
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text, .fresh = true };
        struct proc_stat self;
        int r = proc_stat_read(getpid(), &self);

        if (r < 0)
                return err_sys(e, r, "cannot read /proc/self/stat");
        json_open(&w, NULL, '{');
        json_put_str(&w, "id", o->id);
        json_put_str(&w, "image", o->image);
        json_put_str(&w, "name", o->name);
        json_put_i64(&w, "pid", getpid());
        json_put_u64(&w, "start", self.start);
        json_put_str(&w, "oci", o->oci);
        json_close(&w, '}');
        AUTO_FD int fd = openat(dir, RECORD, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        r = fd < 0 ? -errno : fd_write_all(fd, buf_str(&text), text.len);
        return r < 0 ? err_sys(e, r, "cannot write the container's record") : 0;
}

/* W1 */
static int make_named(struct workspace *w, const struct workspace_owner *o, struct err *e)
{
        char fresh[32];

        snprintf(fresh, sizeof fresh, FRESH "%d", getpid());
        if (mkdirat(w->parent, fresh, 0700) < 0)
                return err_sys(e, errno, "cannot make \"%s\"", w->path);
        w->dir = openat(w->parent, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (w->dir < 0 || flock(w->dir, LOCK_EX | LOCK_NB) < 0)
                err_sys(e, errno, "cannot open \"%s\"", w->path);
        else if (write_record(w->dir, o, e) == 0) {
                if (sys_renameat2(w->parent, fresh, w->parent, o->id, RENAME_NOREPLACE) == 0)
                        return 0;
                if (errno == EEXIST)
                        err_set(e, ERR_EXISTS, "a container with the name \"%s\" exists", o->id);
                else
                        err_sys(e, errno, "cannot make \"%s\"", w->path);
        }
        tree_remove(w->parent, fresh);
        w->dir = fd_close(w->dir);
        return -1;
}

int workspace_make(const char *containers, const struct workspace_owner *o, struct workspace *ret,
                   struct err *e)
{
        int r = make_path(containers);

        if (r < 0)
                return err_sys(e, r, "cannot make \"%s\"", containers);
        if (path_join(containers, o->id, ret->path, sizeof ret->path) < 0)
                return err_set(e, ERR_INVALID, "\"%s\" is too long a path", containers);
        ret->id = o->id;
        ret->parent = open(containers, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (ret->parent < 0)
                return err_sys(e, errno, "cannot open \"%s\"", containers);
        return make_named(ret, o, e);
}

int workspace_remove(struct workspace *w, struct err *e)
{
        int r = w->dir < 0 ? 0 : tree_remove(w->parent, w->id);

        w->dir = fd_close(w->dir);
        w->parent = fd_close(w->parent);
        return r < 0 ? err_sys(e, r, "cannot remove \"%s\"", w->path) : 0;
}

/* Before record.json goes, container.json is there: at no moment is it nobody's. */
int workspace_settle(struct workspace *w, const char *container_json, size_t n, bool ours,
                     struct err *e)
{
        int r = fd_replace_at(w->dir, LASTING, container_json, n, 0600, 0);

        if (r == 0 && !ours && workspace_release(w->dir) < 0)
                r = -errno;
        return r < 0 ? err_sys(e, r, "cannot write the container's record") : 0;
}

void workspace_close(struct workspace *w)
{
        w->dir = fd_close(w->dir);
        w->parent = fd_close(w->parent);
}

/* ---- what the dead left ---- */

struct record {
        pid_t pid;
        uint64_t start;
        const char *oci; /* in the arena */
};

static int read_record(struct arena *a, int dir, struct record *ret)
{
        AUTO_FREE char *text = NULL;
        struct json j;
        int64_t pid;
        size_t len;
        int r = fd_read_regular_at(dir, RECORD, RECORD_MAX, &text, &len);

        if (r < 0)
                return r;
        if (json_parse(a, text, len, NULL, &j, NULL) < 0 ||
            !json_to_i64(json_get(&j, "pid"), &pid) ||
            !json_to_u64(json_get(&j, "start"), &ret->start))
                return -EBADMSG;
        ret->pid = (pid_t)pid;
        ret->oci = json_str(json_get(&j, "oci"), NULL);
        return 0;
}

/* One that is being made has no record yet: its name has its maker's pid, and it is locked. */
static bool maker_lives(const char *name)
{
        const char *digits = str_after(name, FRESH);
        uint32_t pid;

        return digits && str_to_u32(digits, &pid) == 0 && kill((pid_t)pid, 0) == 0;
}

static bool has(int dir, const char *name)
{
        return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Whether it is a container that lasts; asked of each before anything is opened. */
static bool lasts(int parent, const char *name)
{
        char path[NAME_MAX + sizeof "/" LASTING];
        size_t n = (size_t)snprintf(path, sizeof path, "%s/", name);

        snprintf(path + n, sizeof path - n, "%s", LASTING);
        if (!has(parent, path))
                return false;
        snprintf(path + n, sizeof path - n, "%s", RECORD);
        return !has(parent, path);
}

/* W2. Under the flock: whoever was at work has ended or gives it up. */
static bool is_nobodys(struct arena *a, int dir, struct record *ret)
{
        int r = read_record(a, dir, ret);

        if (r == 0) /* the pid alone tells nothing of a process in another pid namespace */
                return !proc_alive(ret->pid, ret->start);
        return !has(dir, LASTING); /* a monitor took it over, or somebody removes it */
}

int workspace_remove_run(const char *run, const char *id, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_FD int parent =
                open(arena_printf(&a, "%s/containers", run), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = parent < 0 ? (errno == ENOENT ? 0 : -errno) : tree_remove(parent, id);

        return r < 0 && r != -ENOENT ? err_sys(e, r, "cannot remove \"%s/containers/%s\"", run, id)
                                     : 0;
}

/* In the order of ctr_remove(). */
static int remove_traces(const struct workspace_places *p, const char *id, const char *oci,
                         struct err *e)
{
        struct runtime rt = { .root = oci ? oci : p->oci, .log = p->log };

        if (!container_id_ok(id))
                return 0;
        if (rt.root && runtime_delete(&rt, id, true, e) < 0)
                return -1;
        if (p->run && workspace_remove_run(p->run, id, e) < 0)
                return -1;
        return p->store ? store_container_remove(p->store, id, e) : 0;
}

/* Whether it was there and is gone now: 1. */
static int sweep_one(const struct workspace_places *p, int parent, const char *name, struct err *e)
{
        AUTO_FD int dir = -1;
        AUTO_ARENA a = { 0 };
        struct record record = { 0 };
        int r;

        if (lasts(parent, name) || maker_lives(name))
                return 0;
        dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
                return errno == ENOENT ? 0 : err_sys(e, errno, "cannot open \"%s\"", name);
        if (flock(dir, LOCK_EX | LOCK_NB) < 0 || !is_nobodys(&a, dir, &record))
                return 0;
        if (remove_traces(p, name, record.oci, e) < 0)
                return -1;
        r = tree_remove(parent, name);
        return r < 0 ? err_sys(e, r, "cannot remove \"%s\"", name) : 1;
}

unsigned workspace_sweep(const struct workspace_places *p)
{
        AUTO_FD int parent = open(p->containers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int copy = parent < 0 ? -1 : fcntl(parent, F_DUPFD_CLOEXEC, 0);
        DIR *d = copy < 0 ? NULL : fdopendir(copy);
        struct dirent *entry;
        unsigned gone = 0;

        while (d && (entry = readdir(d))) {
                struct err e = { 0 };
                int r;

                if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
                        continue;
                r = sweep_one(p, parent, entry->d_name, &e);
                if (r < 0) {
                        err_in(&e, "cannot clean up after container \"%s\"", entry->d_name);
                        log_err(p->log, LOG_LEVEL_WARNING, &e);
                }
                gone += r > 0;
        }
        if (d)
                closedir(d);
        return gone;
}
