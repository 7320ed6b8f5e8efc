#include "diag/state-dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "diag/procfs.h"
#include "diag/target.h"

#define ROOTS_MAX 512
#define STATE_FILE_MAX (16u << 20)

static const struct json_limits limits = { STATE_FILE_MAX, 64, 64u << 20 };

bool state_json(struct arena *a, const char *path, struct json *ret)
{
        size_t n;
        const char *text = file_text(a, AT_FDCWD, path, STATE_FILE_MAX, &n, NULL);

        return text && json_parse(a, text, n, &limits, ret, NULL) == 0;
}

/* ---- where ---- */

static void add_root(struct strings *roots, const char *path)
{
        for (size_t i = 0; i < roots->n; i++)
                if (str_eq(roots->v[i], path))
                        return;
        if (roots->n < ROOTS_MAX && access(path, F_OK) == 0)
                roots->v[roots->n++] = path;
}

/* Directories below parent, each with tail behind it. */
static void add_below(struct arena *a, struct strings *roots, const char *parent, const char *tail)
{
        DIR *d = opendir(parent);

        for (struct dirent *e; d && (e = readdir(d));)
                if (e->d_name[0] != '.')
                        add_root(roots, arena_printf(a, "%s/%s%s", parent, e->d_name, tail));
        if (d)
                closedir(d);
}

struct strings state_roots(struct arena *a, const struct strings *extra)
{
        static const char *const fixed[] = { "/run/berth-oci",
                                             "/run/runc",
                                             "/run/crun",
                                             "/run/youki",
                                             "/run/docker/runtime-runc/moby",
                                             "/run/docker/runtime-crun/moby",
                                             "/run/berth/oci" };
        /* One directory for each containerd namespace. */
        static const char *const spaced[] = { "/run/containerd/runc", "/run/containerd/crun",
                                              "/run/containerd/berth-oci",
                                              "/run/containerd/io.containerd.runtime.v2.task" };
        static const char *const user[] = { "/berth-oci", "/runc", "/crun", "/berth/oci" };
        struct strings roots = { arena_array(a, const char *, ROOTS_MAX), 0 };

        for (size_t i = 0; extra && i < extra->n; i++)
                add_root(&roots, extra->v[i]);
        for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
                add_root(&roots, fixed[i]);
        for (size_t i = 0; i < ARRAY_SIZE(spaced); i++)
                add_below(a, &roots, spaced[i], "");
        for (size_t i = 0; i < ARRAY_SIZE(user); i++)
                add_below(a, &roots, "/run/user", user[i]);
        return roots;
}

/* ---- one container ---- */

static const char *existing(const char *path)
{
        return access(path, F_OK) == 0 ? path : NULL;
}

/* containerd's bundle holds the pid in a file of its own. */
static bool read_shim(struct arena *a, const char *dir, const char *id, struct state_entry *ret)
{
        const char *file = arena_printf(a, "%s/init.pid", dir);
        const char *text = file_text(a, AT_FDCWD, file, TEXT_SMALL, NULL, NULL);
        struct num pid = text ? text_one(text) : (struct num){ 0 };

        if (!num_known(pid) || pid.v == 0 || pid.v > INT32_MAX)
                return false;
        *ret = (struct state_entry){ .dir = dir, .file = file };
        ret->state = (struct owner_state){ .id = id, .bundle = dir, .pid = (int64_t)pid.v };
        return true;
}

bool state_read(struct arena *a, const char *root, const char *id, struct state_entry *ret)
{
        static const char *const files[] = { "state.json", "status" };
        const char *dir;

        if (str_empty(id) || strchr(id, '/') || id[0] == '.')
                return false;
        dir = arena_printf(a, "%s/%s", root, id);
        if (access(dir, F_OK) < 0)
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                struct state_entry s = { .dir = dir };
                struct json j;

                s.file = arena_printf(a, "%s/%s", dir, files[i]);
                if (!state_json(a, s.file, &j) || !owner_from_state(a, &j, &s.state))
                        continue;
                if (!s.state.id)
                        s.state.id = id;
                s.config = existing(arena_printf(a, "%s/config.json", dir));
                if (!s.config && s.state.bundle)
                        s.config = existing(arena_printf(a, "%s/config.json", s.state.bundle));
                *ret = s;
                return true;
        }
        if (!read_shim(a, dir, id, ret))
                return false;
        ret->config = existing(arena_printf(a, "%s/config.json", dir));
        return true;
}

bool state_each(struct arena *a, const struct strings *roots,
                bool (*each)(const char *root, const char *id, void *arg), void *arg, bool *ret_cut)
{
        unsigned seen = 0;
        bool done = false;

        for (size_t i = 0; i < roots->n && !done; i++) {
                DIR *d = opendir(roots->v[i]);

                for (struct dirent *e; d && !done && (e = readdir(d));) {
                        if (e->d_name[0] == '.')
                                continue;
                        if (++seen > STATE_ENTRIES_MAX) {
                                if (ret_cut)
                                        *ret_cut = true;
                                break;
                        }
                        done = each(roots->v[i], arena_strdup(a, e->d_name), arg);
                }
                if (d)
                        closedir(d);
        }
        return done;
}

bool state_current(struct arena *a, const struct owner_state *s)
{
        char path[64];
        const char *text;
        struct stat_line line;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)s->pid);
        text = file_text(a, AT_FDCWD, path, TEXT_SMALL, NULL, NULL);
        return text && procfs_stat(text, &line) && line.state != 'Z' && line.state != 'X' &&
               (s->start == 0 || s->start == line.start);
}

/* ---- by name ---- */

struct strings storage_indexes(struct arena *a, const char *bundle)
{
        static const char *const files[] = { "containers.json", "volatile-containers.json" };
        const char *roots[2] = { NULL, "/var/lib/containers/storage/overlay-containers" };
        struct strings found = { arena_array(a, const char *, 4), 0 };
        const char *part = "/overlay-containers/";
        const char *at = bundle ? strstr(bundle, part) : NULL;

        if (at)
                roots[0] = arena_strndup(a, bundle, (size_t)(at - bundle) + strlen(part) - 1);
        if (roots[0] && str_eq(roots[0], roots[1]))
                roots[0] = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
                for (size_t k = 0; roots[i] && k < ARRAY_SIZE(files); k++) {
                        const char *path = arena_printf(a, "%s/%s", roots[i], files[k]);

                        if (existing(path))
                                found.v[found.n++] = path;
                }
        return found;
}

static const char *storage_lookup(struct arena *a, const char *name)
{
        struct strings indexes = storage_indexes(a, NULL);

        for (size_t i = 0; i < indexes.n; i++) {
                struct json j;
                const char *id =
                        state_json(a, indexes.v[i], &j) ? owner_storage_id(&j, name) : NULL;

                if (id)
                        return id;
        }
        return NULL;
}

static const char *docker_lookup(struct arena *a, const char *name)
{
        DIR *d = opendir("/var/lib/docker/containers");
        const char *id = NULL;
        unsigned seen = 0;

        for (struct dirent *e; d && !id && seen < STATE_ENTRIES_MAX && (e = readdir(d)); seen++) {
                struct owner_clue c = { 0 };
                struct json j;

                if (e->d_name[0] == '.' ||
                    !state_json(a,
                                arena_printf(a, "/var/lib/docker/containers/%s/config.v2.json",
                                             e->d_name),
                                &j))
                        continue;
                owner_from_docker(&j, &c);
                if (c.name && str_eq(c.name, name))
                        id = arena_strdup(a, e->d_name);
        }
        if (d)
                closedir(d);
        return id;
}

struct search {
        struct arena *a;
        const char *name;
        struct state_entry best;
        unsigned matches; /* different ids */
        bool exact;
};

static bool consider(const char *root, const char *id, void *arg)
{
        struct search *s = arg;
        struct state_entry found;

        if (!str_after(id, s->name) || !state_read(s->a, root, id, &found))
                return false;
        /* The same container appears once for its runtime and once for its shim. */
        if (s->matches == 0 || !str_eq(s->best.state.id, found.state.id))
                s->matches++;
        s->exact = str_eq(id, s->name);
        s->best = found;
        return s->exact;
}

bool state_record(struct arena *a, const char *bundle, struct json *ret)
{
        return bundle && state_json(a, arena_printf(a, "%s/container.json", bundle), ret);
}

static bool consider_name(const char *root, const char *id, void *arg)
{
        struct search *s = arg;
        struct owner_clue c = { 0 };
        struct state_entry found;
        struct json record;

        if (!state_read(s->a, root, id, &found) || !state_record(s->a, found.state.bundle, &record))
                return false;
        owner_from_record(&record, &c);
        if (!c.name || !str_eq(c.name, s->name) || !state_current(s->a, &found.state))
                return false;
        s->best = found;
        s->matches = 1;
        return s->exact = true;
}

static bool unreadable(const struct strings *roots)
{
        for (size_t i = 0; i < roots->n; i++)
                if (access(roots->v[i], R_OK | X_OK) < 0)
                        return true;
        return false;
}

int state_find(struct arena *a, const struct strings *roots, const char *name, pid_t *ret_pid,
               bool *ret_denied, struct err *e)
{
        struct search s = { .a = a, .name = name };
        const char *id;

        if (ret_denied)
                *ret_denied = unreadable(roots);
        state_each(a, roots, consider, &s, NULL);
        if (!s.exact && !state_each(a, roots, consider_name, &s, NULL)) {
                id = storage_lookup(a, name);
                if (!id)
                        id = docker_lookup(a, name);
                if (id) {
                        s = (struct search){ .a = a, .name = id };
                        state_each(a, roots, consider, &s, NULL);
                        if (s.matches == 0)
                                return err_set(e, ERR_NOT_FOUND, "container '%s' is not running",
                                               name);
                }
        }
        if (s.matches == 0)
                return err_set(e, ERR_NOT_FOUND, "no container '%s' in any state directory", name);
        if (s.matches > 1 && !s.exact) {
                err_set(e, ERR_INVALID, "'%s' begins the id of more than one container", name);
                return err_hint(e, "Give more of the id, or the process's number.");
        }
        if (!state_current(a, &s.best.state))
                return err_set(e, ERR_NOT_FOUND, "container '%s' is not running", s.best.state.id);
        *ret_pid = (pid_t)s.best.state.pid;
        return 0;
}
