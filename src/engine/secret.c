#include "engine/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "engine/names.h"
#include "kernel/sys.h"
#include "kernel/tree.h"

#define RECORD_MAX (1u << 20)
#define ID_LEN 25 /* podman's */
#define NAME_LEN 64

/* secrets/, made where missing. */
static int open_all(struct store *s, struct err *e)
{
        int fd;

        if (mkdirat(store_dir(s), "secrets", 0700) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make \"%s/secrets\"", store_path(s));
        fd = openat(store_dir(s), "secrets", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_sys(e, errno, "cannot open \"%s/secrets\"", store_path(s)) : fd;
}

static int check_name(const char *name, struct err *e)
{
        size_t n = strlen(name);
        char last = n ? name[n - 1] : 0;

        if (name_check(name) == 0 && n <= NAME_LEN && !strchr("_.-", last))
                return 0;
        return err_set(e, ERR_INVALID,
                       "\"%s\" can't be a secret's name: up to %d letters, digits, '_', '.' and "
                       "'-', a letter or digit at both ends",
                       name, NAME_LEN);
}

void secret_wipe(char *data, size_t n)
{
        if (data)
                explicit_bzero(data, n);
        free(data);
}

/* ---- reading ---- */

static int read_one(struct store *s, struct arena *a, int all, const char *id, struct secret *ret)
{
        AUTO_FREE char *text = NULL;
        struct key_value *path = arena_new(a, struct key_value);
        struct json j;
        size_t n;
        int r = fd_read_regular_at(all, arena_printf(a, "%s/secret.json", id), RECORD_MAX, &text,
                                   &n);

        if (r < 0)
                return r;
        if (json_parse(a, text, n, NULL, &j, NULL) < 0)
                return -EBADMSG;
        *path = (struct key_value){ "path", arena_printf(a, "%s/secrets", store_path(s)) };
        *ret = (struct secret){ .id = arena_strdup(a, id),
                                .name = json_str(json_get(&j, "name"), ""),
                                .driver = "file",
                                .labels = json_to_key_values(a, json_get(&j, "labels")),
                                .options = { path, 1 } };
        json_to_i64(json_get(&j, "created"), &ret->created_ns);
        json_to_i64(json_get(&j, "updated"), &ret->updated_ns);
        return 0;
}

static int newest_first(const void *pa, const void *pb)
{
        const struct secret *a = pa, *b = pb;

        return a->created_ns != b->created_ns ? (a->created_ns < b->created_ns ? 1 : -1)
                                              : strcmp(a->name, b->name);
}

static int list(struct store *s, struct arena *a, int all, struct secret **ret, size_t *ret_n)
{
        struct strings names;
        int r = dir_names(all, ".", a, &names);

        if (r < 0)
                return r;
        *ret = arena_array(a, struct secret, names.n + 1);
        *ret_n = 0;
        for (size_t i = 0; i < names.n; i++)
                if (names.v[i][0] != '.' && read_one(s, a, all, names.v[i], &(*ret)[*ret_n]) == 0)
                        ++*ret_n;
        qsort(*ret, *ret_n, sizeof **ret, newest_first);
        return 0;
}

int secret_list(struct store *s, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e)
{
        AUTO_FD int all = open_all(s, e);
        int r = all < 0 ? 0 : list(s, a, all, ret, ret_n);

        if (all < 0)
                return -1;
        return r < 0 ? err_sys(e, r, "cannot read \"%s/secrets\"", store_path(s)) : 0;
}

/* A name is a whole one and comes first; 1: there is none. */
static int choose(const struct secret *v, size_t n, const char *text, struct secret *ret,
                  struct err *e)
{
        const struct secret *match = NULL;

        for (size_t i = 0; i < n; i++)
                if (str_eq(v[i].name, text)) {
                        *ret = v[i];
                        return 0;
                }
        for (size_t i = 0; i < n; i++) {
                if (!str_after(v[i].id, text) || !*text)
                        continue;
                if (match)
                        return err_set(e, ERR_INVALID,
                                       "\"%s\" is the beginning of several secrets' ids", text);
                match = &v[i];
        }
        if (!match)
                return 1;
        *ret = *match;
        return 0;
}

static int find(struct store *s, struct arena *a, int all, const char *text, struct secret *ret,
                struct err *e)
{
        struct secret *v;
        size_t n;
        int r = list(s, a, all, &v, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read \"%s/secrets\"", store_path(s));
        r = choose(v, n, text, ret, e);
        return r > 0 ? err_set(e, ERR_NOT_FOUND, "no secret with name or id \"%s\"", text) : r;
}

int secret_find(struct store *s, struct arena *a, const char *text, struct secret *ret,
                struct err *e)
{
        AUTO_FD int all = open_all(s, e);

        return all < 0 ? -1 : find(s, a, all, text, ret, e);
}

int secret_read(struct store *s, const char *id, char **ret, size_t *ret_n, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_FD int fd = openat(store_dir(s), arena_printf(&a, "secrets/%s/data", id),
                                O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        char *data = mem_alloc(SECRET_MAX);
        ssize_t n = fd < 0 ? -errno : fd_read_text(fd, data, SECRET_MAX);

        if (n < 0) {
                secret_wipe(data, SECRET_MAX);
                return err_sys(e, (int)n, "cannot read secret \"%s\"", id);
        }
        *ret = data;
        *ret_n = (size_t)n;
        return 0;
}

/* ---- making ---- */

static int write_record(int dir, const char *id, const struct secret_new *new, int64_t created)
{
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text, .indent = 2, .fresh = true };

        json_open(&w, NULL, '{');
        json_put_str(&w, "id", id);
        json_put_str(&w, "name", new->name);
        json_put_str(&w, "driver", "file");
        json_put_i64(&w, "created", created);
        json_put_i64(&w, "updated", clock_now_ns());
        json_put_key_values(&w, "labels", &new->labels);
        json_close(&w, '}');
        buf_putc(&text, '\n');
        return fd_replace_at(dir, "secret.json", text.s, text.len, 0600, 1);
}

static int put_away(int all, const char *id)
{
        char gone[64];

        snprintf(gone, sizeof gone, ".gone-%s", id);
        return renameat(all, id, all, gone) < 0 ? -errno : tree_remove(all, gone);
}

/* Under the lock: what killed commands left, which may hold secrets. */
static void sweep(int all)
{
        AUTO_ARENA a = { 0 };
        struct strings names;

        dir_names(all, ".", &a, &names);
        for (size_t i = 0; i < names.n; i++)
                if (str_after(names.v[i], ".new-") || str_after(names.v[i], ".gone-"))
                        tree_remove(all, names.v[i]);
}

/* The new one takes the place of the old in one step, and then its own name. */
static int exchange(int all, const char *fresh, const char *old, const char *id)
{
        if (sys_renameat2(all, fresh, all, old, RENAME_EXCHANGE) < 0 ||
            renameat(all, old, all, id) < 0)
                return -errno;
        return tree_remove(all, fresh);
}

/* P1. In the place of old, or NULL. 0 or -errno. */
static int make(int all, const char *id, const struct secret_new *new, const char *old)
{
        char fresh[48];
        int r;

        snprintf(fresh, sizeof fresh, ".new-%d", getpid());
        r = mkdirat(all, fresh, 0700) < 0 ? -errno : 0;
        if (r < 0)
                return r;
        AUTO_FD int dir = openat(all, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = dir < 0 ? -errno : fd_replace_at(dir, "data", new->data, new->n, 0600, 1);
        if (r == 0)
                r = write_record(dir, id, new, clock_now_ns());
        if (r == 0 && old)
                r = exchange(all, fresh, old, id);
        else if (r == 0 && sys_renameat2(all, fresh, all, id, RENAME_NOREPLACE) < 0)
                r = -errno;
        if (r < 0)
                tree_remove(all, fresh);
        return r < 0 ? r : fsync(all) < 0 ? -errno : 0;
}

int secret_create(struct store *s, struct arena *a, const struct secret_new *new,
                  const char **ret_id, struct err *e)
{
        const char *id = arena_strndup(a, id_make(a), ID_LEN);
        struct secret old = { 0 };
        bool taken;
        int r;

        if (new->n == 0 || new->n >= SECRET_MAX)
                return err_set(e, ERR_INVALID,
                               "secret data must be larger than 0 and less than %d bytes",
                               SECRET_MAX);
        AUTO_FD int all = check_name(new->name, e) < 0 ? -1 : open_all(s, e);
        if (all < 0)
                return -1;
        if (flock(all, LOCK_EX) < 0)
                return err_sys(e, errno, "cannot lock \"%s/secrets\"", store_path(s));
        sweep(all);
        if (find(s, a, all, new->name, &old, e) < 0 && e->code != ERR_NOT_FOUND)
                return -1;
        err_clear(e);
        taken = old.id && str_eq(old.name, new->name);
        if (taken && !new->replace) {
                err_set(e, ERR_EXISTS, "%s: secret name in use", new->name);
                return err_hint(e, "--replace puts this one in its place");
        }
        r = make(all, id, new, taken ? old.id : NULL);
        if (r < 0)
                return err_sys(e, r, "cannot make secret \"%s\"", new->name);
        *ret_id = id;
        return 0;
}

int secret_remove(struct store *s, const struct secret *secret, struct err *e)
{
        AUTO_FD int all = open_all(s, e);
        int r;

        if (all < 0)
                return -1;
        r = flock(all, LOCK_EX) < 0 ? -errno : 0;
        if (r == 0)
                sweep(all);
        if (r == 0)
                r = put_away(all, secret->id);
        if (r == -ENOENT)
                return err_set(e, ERR_NOT_FOUND, "no secret with name or id \"%s\"", secret->name);
        return r < 0 ? err_sys(e, r, "cannot remove secret \"%s\"", secret->name) : 0;
}
