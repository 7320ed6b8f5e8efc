#include "engine/volume.h"

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
#include "engine/ctr-internal.h"
#include "engine/events.h"
#include "engine/names.h"
#include "engine/settings.h"
#include "kernel/resolve.h"
#include "kernel/sys.h"
#include "kernel/tree.h"
#include "oci/copyup.h"

#define RECORD_MAX (1u << 20)
#define TRIES 20

/* ---- directories ---- */

static int check_name(const char *name, struct err *e)
{
        if (name_check(name) == 0 && strlen(name) < 200)
                return 0;
        return err_set(e, ERR_INVALID,
                       "\"%s\" can't be a volume's name: letters, digits, '_', '.' and '-'", name);
}

/* volumes/, made where missing. */
static int open_all(struct store *s, struct err *e)
{
        int fd;

        if (mkdirat(store_dir(s), "volumes", 0711) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make \"%s/volumes\"", store_path(s));
        fd = openat(store_dir(s), "volumes", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_sys(e, errno, "cannot open \"%s/volumes\"", store_path(s)) : fd;
}

static int open_dir(int parent, const char *name)
{
        return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_still(int parent, const char *name, int dir)
{
        struct stat there, ours;

        return fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && fstat(dir, &ours) == 0 &&
               there.st_ino == ours.st_ino && there.st_dev == ours.st_dev;
}

int volume_data(struct store *s, const char *name, struct err *e)
{
        AUTO_ARENA a = { 0 };
        int fd = openat(store_dir(s), arena_printf(&a, "volumes/%s/_data", name),
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? err_sys(e, errno, "cannot open volume \"%s\"", name) : fd;
}

/* ---- making ---- */

static int write_record(int dir, const char *name, const struct key_values *labels,
                        const struct key_values *options)
{
        const struct key_values none = { 0 };
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text, .indent = 2, .fresh = true };

        json_open(&w, NULL, '{');
        json_put_str(&w, "name", name);
        json_put_i64(&w, "created", clock_now_ns());
        json_put_str(&w, "driver", "local");
        json_put_key_values(&w, "labels", labels ? labels : &none);
        json_put_key_values(&w, "options", options ? options : &none);
        json_close(&w, '}');
        buf_putc(&text, '\n');
        return fd_replace_at(dir, "volume.json", text.s, text.len, 0600, 1);
}

/* V1. 0, -EEXIST or another -errno. */
static int make(struct store *s, int all, const char *name, const struct key_values *labels,
                const struct key_values *options)
{
        char fresh[48];
        int r;

        snprintf(fresh, sizeof fresh, ".new-%d", getpid());
        tree_remove(all, fresh); /* of a dead process that had our pid */
        r = mkdirat(all, fresh, 0711) < 0 ? -errno : 0;
        if (r < 0)
                return r;
        AUTO_FD int dir = open_dir(all, fresh);
        r = dir < 0 || fchmod(dir, 0711) < 0 || mkdirat(dir, "_data", 0755) < 0 ||
                            fchmodat(dir, "_data", 0755, 0) < 0
                    ? -errno
                    : write_record(dir, name, labels, options);
        if (r == 0 && sys_renameat2(all, fresh, all, name, RENAME_NOREPLACE) == 0) {
                event_volume(s, "create", name);
                return 0;
        }
        r = r < 0 ? r : -errno;
        tree_remove(all, fresh);
        return r;
}

int volume_create(struct store *s, const char *name, const struct key_values *labels,
                  const struct key_values *options, struct err *e)
{
        AUTO_FD int all = check_name(name, e) < 0 ? -1 : open_all(s, e);
        int r;

        if (all < 0)
                return -1;
        r = make(s, all, name, labels, options);
        if (r == -EEXIST)
                return err_set(e, ERR_EXISTS, "a volume with the name \"%s\" exists", name);
        return r < 0 ? err_sys(e, r, "cannot make volume \"%s\"", name) : 0;
}

/* It may be removed between being found and being locked: looked at again then. */
int volume_use(struct store *s, const char *name, int *ret_dir, struct err *e)
{
        AUTO_FD int all = check_name(name, e) < 0 ? -1 : open_all(s, e);

        if (all < 0)
                return -1;
        for (int i = 0; i < TRIES; i++) {
                AUTO_FD int dir = open_dir(all, name);
                int r = dir < 0 && errno == ENOENT ? make(s, all, name, NULL, NULL)
                        : dir < 0                  ? -errno
                                                   : 0;

                if (r < 0 && r != -EEXIST)
                        return err_sys(e, r, "cannot make volume \"%s\"", name);
                if (dir >= 0 && flock(dir, LOCK_SH) == 0 && is_still(all, name, dir)) {
                        *ret_dir = TAKE_FD(dir);
                        return 0;
                }
        }
        return err_set(e, ERR_STATE, "volume \"%s\" is being removed again and again", name);
}

int volume_copy(int dir, int root, const char *destination, struct err *e)
{
        AUTO_FD int from = resolve_in(root, destination, O_DIRECTORY, 0);
        struct stat st;

        if (from == -ENOENT || from == -ENOTDIR)
                return 0;
        if (from < 0)
                return err_sys(e, from, "cannot open \"%s\" in the image", destination);
        if (fstat(from, &st) < 0 || fchown(dir, st.st_uid, st.st_gid) < 0 ||
            fchmod(dir, st.st_mode & 07777) < 0)
                return err_sys(e, errno, "cannot copy the directory's attributes");
        return copyup(from, dir, e);
}

int volume_fill(int dir, int root, const char *destination, struct err *e)
{
        AUTO_FD int data = open_dir(dir, "_data");

        if (data < 0 || flock(data, LOCK_EX) < 0)
                return err_sys(e, errno, "cannot open the volume's data");
        return dir_is_empty(data) ? volume_copy(data, root, destination, e) : 0;
}

/* ---- reading ---- */

static int read_one(struct store *s, struct arena *a, int all, const char *name, struct volume *ret)
{
        AUTO_FREE char *text = NULL;
        struct json j;
        size_t n;
        int r = fd_read_regular_at(all, arena_printf(a, "%s/volume.json", name), RECORD_MAX, &text,
                                   &n);

        if (r < 0)
                return r;
        if (json_parse(a, text, n, NULL, &j, NULL) < 0)
                return -EBADMSG;
        *ret = (struct volume){
                .name = arena_strdup(a, name),
                .mountpoint = arena_printf(a, "%s/volumes/%s/_data", store_path(s), name),
        };
        json_to_i64(json_get(&j, "created"), &ret->created_ns);
        ret->labels = json_to_key_values(a, json_get(&j, "labels"));
        ret->options = json_to_key_values(a, json_get(&j, "options"));
        return 0;
}

int volume_list(struct store *s, struct arena *a, struct volume **ret, size_t *ret_n, struct err *e)
{
        AUTO_FD int all = open_all(s, e);
        struct strings names;
        int r;

        if (all < 0)
                return -1;
        r = dir_names(all, ".", a, &names);
        if (r < 0)
                return err_sys(e, r, "cannot read \"%s/volumes\"", store_path(s));
        *ret = arena_array(a, struct volume, names.n + 1);
        *ret_n = 0;
        /* One that goes while we look is none. */
        for (size_t i = 0; i < names.n; i++)
                if (names.v[i][0] != '.' && read_one(s, a, all, names.v[i], &(*ret)[*ret_n]) == 0)
                        ++*ret_n;
        return 0;
}

int volume_find(struct store *s, struct arena *a, const char *text, struct volume *ret,
                struct err *e)
{
        AUTO_FD int all = check_name(text, e) < 0 ? -1 : open_all(s, e);
        const struct volume *match = NULL;
        struct volume *v;
        size_t n;

        if (all < 0)
                return -1;
        if (read_one(s, a, all, text, ret) == 0)
                return 0;
        if (volume_list(s, a, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                if (!str_after(v[i].name, text))
                        continue;
                if (match)
                        return err_set(e, ERR_INVALID, "\"%s\" is the beginning of several volumes",
                                       text);
                match = &v[i];
        }
        if (!match)
                return err_set(e, ERR_NOT_FOUND, "there is no volume \"%s\"", text);
        *ret = *match;
        return 0;
}

void volume_write(const struct volume *v, const char *created, struct json_writer *w)
{
        json_open(w, NULL, '{');
        json_put_str(w, "Name", v->name);
        json_put_str(w, "Driver", "local");
        json_put_str(w, "Mountpoint", v->mountpoint);
        json_put_str(w, "CreatedAt", created);
        json_put_key_values(w, "Labels", &v->labels);
        json_put_str(w, "Scope", "local");
        json_put_key_values(w, "Options", &v->options);
        json_close(w, '}');
}

/* ---- who has it, and removing ---- */

static bool has_volume(const struct ctr *c, const char *name)
{
        const struct json *mounts = json_get(c->record, "mounts");

        for (uint32_t i = 0; mounts && mounts->type == JSON_ARRAY && i < mounts->n; i++)
                if (str_eq(json_str(json_get(&mounts->items[i], "type"), ""), "volume") &&
                    str_eq(json_str(json_get(&mounts->items[i], "name"), ""), name))
                        return true;
        return false;
}

/* Removes those that have it, or counts them. */
static int each_user(struct engine *g, struct arena *a, const char *name, bool removing,
                     struct strings *ret, struct err *e)
{
        struct ctr *v;
        size_t n;

        if (ctr_list(g, a, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                if (!has_volume(&v[i], name))
                        continue;
                if (removing && ctr_remove(g, &v[i], true, 0, e) < 0)
                        return -1;
                if (!removing)
                        strings_add(a, ret, v[i].name);
        }
        return 0;
}

int volume_users(struct engine *g, struct arena *a, const char *name, struct strings *ret,
                 struct err *e)
{
        *ret = (struct strings){ 0 };
        return each_user(g, a, name, false, ret, e);
}

int volume_usage(struct engine *g, struct arena *a, const struct volume *v, size_t n,
                 struct volume_usage **ret, struct err *e)
{
        AUTO_FD int all = open_all(g->store, e);
        struct volume_usage *u = arena_array(a, struct volume_usage, n + 1);
        struct ctr *c;
        size_t nc;

        if (all < 0 || ctr_list(g, a, &c, &nc, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                u[i].size = store_tree_size(all, v[i].name);
                for (size_t k = 0; k < nc; k++)
                        u[i].users += has_volume(&c[k], v[i].name);
        }
        *ret = u;
        return 0;
}

/* V2, V1 */
static int remove_unused(struct engine *g, struct arena *a, const char *name, struct err *e)
{
        AUTO_FD int all = open_all(g->store, e);
        AUTO_FD int dir = all < 0 ? -1 : open_dir(all, name);
        const char *gone = arena_printf(a, ".gone-%d-%s", getpid(), name);
        struct strings users;
        int r;

        if (all < 0)
                return -1;
        if (dir < 0 && errno == ENOENT)
                return err_set(e, ERR_NOT_FOUND, "there is no volume \"%s\"", name);
        if (dir < 0)
                return err_sys(e, errno, "cannot open volume \"%s\"", name);
        if (flock(dir, LOCK_EX | LOCK_NB) < 0)
                return err_set(e, ERR_STATE, "volume \"%s\" is being taken into use", name);
        if (volume_users(g, a, name, &users, e) < 0)
                return -1;
        if (users.n) {
                err_set(e, ERR_STATE, "volume \"%s\" is in use by container \"%s\"%s", name,
                        users.v[0], users.n > 1 ? " and others" : "");
                return err_hint(e, "remove the container first, or both with --force");
        }
        volume_unmount(g, name);
        r = renameat(all, name, all, gone) < 0 ? -errno : 0;
        if (r == 0) {
                event_volume(g->store, "remove", name);
                r = tree_remove(all, gone);
        }
        return r < 0 ? err_sys(e, r, "cannot remove volume \"%s\"", name) : 0;
}

int volume_remove(struct engine *g, const char *name, bool force, struct err *e)
{
        AUTO_ARENA a = { 0 };

        if (force && each_user(g, &a, name, true, NULL, e) < 0)
                return err_in(e, "cannot remove volume \"%s\"", name);
        return remove_unused(g, &a, name, e);
}
