#include "oci/checkpoint-mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "kernel/mount.h"
#include "kernel/resolve.h"
#include "oci/launch.h"
#include "oci/sd-notify.h"

#define TABLE_MAX (16u << 20)

/* ---- the mount table ---- */

struct row {
        uint64_t id, parent;
        const char *device; /* "8:1" */
        const char *point;  /* below the container's root: "/dev/pts" */
        bool taken;         /* some operation of the plan made it, so it is nobody's submount */
};

struct table {
        struct row *v;
        size_t n;
};

/* proc_pid_mountinfo(5) writes blank, tab, newline and backslash as three octal digits. */
static void unescape(char *s)
{
        char *to = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
                        *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else {
                        *to++ = *s;
                }
        }
        *to = 0;
}

/* What is left of path below root, beginning with a slash; NULL outside of it. */
static const char *below(const char *path, const char *root)
{
        size_t n = str_eq(root, "/") ? 0 : strlen(root);

        if (strncmp(path, root, n) != 0 || (path[n] && path[n] != '/'))
                return NULL;
        return path[n] ? path + n : "/";
}

/* "ID PARENT MAJOR:MINOR ROOT POINT ..." */
static bool parse_row(char *line, const char *root, struct row *ret)
{
        char *field[5], *save = line;

        for (size_t i = 0; i < ARRAY_SIZE(field); i++) {
                field[i] = strsep(&save, " ");
                if (!field[i])
                        return false;
        }
        if (str_to_u64(field[0], &ret->id) < 0 || str_to_u64(field[1], &ret->parent) < 0)
                return false;
        ret->device = field[2];
        unescape(field[4]);
        ret->point = below(field[4], root);
        return ret->point != NULL;
}

static int read_table(struct arena *a, const struct mount_view *v, struct table *ret, struct err *e)
{
        AUTO_FREE char *text = NULL;
        char path[64], *at, *line;
        size_t len, lines = 1;
        int r;

        snprintf(path, sizeof path, "/proc/%d/mountinfo", v->pid);
        r = fd_read_file_at(AT_FDCWD, path, TABLE_MAX, &text, &len);
        if (r < 0)
                return err_sys(e, r, "cannot read the mounts of process %d", v->pid);
        for (size_t i = 0; i < len; i++)
                lines += text[i] == '\n';
        *ret = (struct table){ arena_array(a, struct row, lines), 0 };
        at = text;
        while ((line = strsep(&at, "\n"))) {
                struct row *row = &ret->v[ret->n];

                if (!parse_row(line, v->root, row))
                        continue;
                row->device = arena_strdup(a, row->device);
                row->point = arena_strdup(a, row->point);
                ret->n++;
        }
        return 0;
}

static struct row *row_by_id(const struct table *t, uint64_t id)
{
        for (size_t i = 0; i < t->n; i++)
                if (t->v[i].id == id)
                        return &t->v[i];
        return NULL;
}

/* ---- finding ---- */

struct search {
        struct arena *a;
        const struct mount_view *view;
        struct table table;
        int root;
        struct row **binds;   /* those made by bind operations ... */
        const char **sources; /* ... and what they show */
        size_t n_binds;
        struct key_values *ret;
};

static void add(struct search *s, const char *key, const char *value)
{
        s->ret->v[s->ret->n++] = (struct key_value){ key, value };
}

/* The mount whose root path is, or NULL where it is none. */
static struct row *mount_at(struct search *s, const char *path, bool *ret_dir)
{
        AUTO_FD int fd = resolve_in(s->root, path, 0, 0);
        struct stat st;
        uint64_t id;
        bool root;

        if (fd < 0 || mount_id(fd, &id, &root) < 0 || !root || fstat(fd, &st) < 0)
                return NULL;
        *ret_dir = S_ISDIR(st.st_mode);
        return row_by_id(&s->table, id);
}

static void add_bind(struct search *s, const char *path, const char *source)
{
        bool dir;
        struct row *row = mount_at(s, path, &dir);

        if (!row || row->taken)
                return;
        row->taken = true;
        s->binds[s->n_binds] = row;
        s->sources[s->n_binds++] = source;
        add(s, row->point, source);
}

static void add_mask(struct search *s, const char *path)
{
        bool dir;
        struct row *row = mount_at(s, path, &dir);

        if (!row || row->taken)
                return;
        row->taken = true;
        if (!dir) /* an empty tmpfs, which the images can hold */
                add(s, row->point, CHECKPOINT_MASK);
}

/* Without a cgroup namespace what is mounted is a part of the host's hierarchy. */
static void add_cgroups(struct search *s, const char *dest)
{
        const struct spec *spec = s->view->plan->spec;
        const struct cgroup *c = s->view->cgroup;

        if (spec->linux_.namespaces[NS_CGROUP].present || !c || c->n == 0)
                return;
        if (c->n == 1 && c->v2 == 0) {
                add_bind(s, dest, c->v[0].path);
                return;
        }
        for (size_t i = 0; i < c->n; i++)
                add_bind(s, arena_printf(s->a, "%s/%s", dest, mount_cgroup_name(&c->v[i])),
                         c->v[i].path);
}

static void take(struct search *s, const char *path)
{
        bool dir;
        struct row *row = mount_at(s, path, &dir);

        if (row)
                row->taken = true;
}

static void search_op(struct search *s, const struct op *op)
{
        switch (op->kind) {
        case OP_MOUNT:
                if (op->mount->bind)
                        add_bind(s, op->mount->spec->destination, op->mount->source);
                else
                        take(s, op->mount->spec->destination);
                break;
        case OP_CGROUP_MOUNT:
                add_cgroups(s, op->mount->spec->destination);
                take(s, op->mount->spec->destination);
                break;
        case OP_DEVICE: /* a mount only where nobody may mknod */
                add_bind(s, op->device->path, op->device->path);
                break;
        case OP_NOTIFY_MOUNT:
                if (s->view->notify)
                        add_bind(s, SD_NOTIFY_DIR, s->view->notify);
                break;
        case OP_MASK:
                add_mask(s, op->text);
                break;
        case OP_READONLY_PATH:
                take(s, op->text);
                break;
        case OP_CONSOLE_MOUNT:
                take(s, "/dev/console");
                break;
        default:
                break;
        }
}

/* Whether path is on that device here too. If not, the container mounted something itself. */
static bool is_on(const char *path, const char *device)
{
        char text[32];
        struct stat st;

        if (stat(path, &st) < 0)
                return false;
        snprintf(text, sizeof text, "%u:%u", major(st.st_dev), minor(st.st_dev));
        return str_eq(text, device);
}

/* The bind operation that a mount came along with: the nearest one above it. */
static void add_submount(struct search *s, const struct row *row)
{
        const struct row *up = row;

        for (size_t depth = 0; up && depth <= s->table.n; depth++) {
                up = row_by_id(&s->table, up->parent);
                if (!up || !up->taken)
                        continue;
                for (size_t i = 0; i < s->n_binds; i++) {
                        const char *rest = below(row->point, up->point), *source;

                        if (s->binds[i] != up || !rest)
                                continue;
                        source = arena_printf(s->a, "%s%s", s->sources[i], rest);
                        if (is_on(source, row->device))
                                add(s, row->point, source);
                }
                return;
        }
}

static int open_root(const struct mount_view *v, struct err *e)
{
        char path[4200];
        int fd;

        if (snprintf(path, sizeof path, "/proc/%d/root%s", v->pid, v->root) >= (int)sizeof path)
                return err_sys(e, ENAMETOOLONG, "cannot open the root of process %d", v->pid);
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? err_sys(e, errno, "cannot open the root of process %d", v->pid) : fd;
}

int checkpoint_mounts(struct arena *a, const struct mount_view *v, struct key_values *ret,
                      struct err *e)
{
        struct search s = { .a = a, .view = v, .ret = ret };
        AUTO_FD int root = open_root(v, e);

        s.root = root;
        if (root < 0 || read_table(a, v, &s.table, e) < 0)
                return -1;
        /* Each mount is found once at most. */
        *ret = (struct key_values){ arena_array(a, struct key_value, s.table.n), 0 };
        s.binds = arena_array(a, struct row *, s.table.n);
        s.sources = arena_array(a, const char *, s.table.n);
        for (size_t i = 0; i < v->plan->n; i++)
                search_op(&s, &v->plan->ops[i]);
        for (size_t i = 0; i < s.table.n; i++)
                if (!s.table.v[i].taken)
                        add_submount(&s, &s.table.v[i]);
        return 0;
}
