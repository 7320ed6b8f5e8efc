#include "engine/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/settings.h"
#include "engine/user.h"
#include "image/store-container.h"
#include "image/store.h"
#include "kernel/sys.h"
#include "oci/spec-check.h"

#define SUBUID "/etc/subuid"
#define SUBGID "/etc/subgid"
#define OWNER "containers" /* podman's name for it */
/* Above what directory services give out by default, below what systemd and FreeIPA keep for
 * themselves (https://systemd.io/UIDS-GIDS): 2046 containers. */
#define SUGGESTED "containers:2013265920:134086656"
#define FILE_MAX (1u << 20)
#define SIZE_LEAST 65536u    /* every 16-bit id, nobody's among them */
#define SIZE_MOST (1u << 20) /* what an image may take by itself */

/* ---- maps ---- */

static void add_map(struct arena *a, struct id_mappings *m, struct id_mapping x)
{
        struct id_mapping *v = arena_array(a, struct id_mapping, m->n + 1);

        if (m->n)
                memcpy(v, m->v, m->n * sizeof *v);
        v[m->n++] = x;
        m->v = v;
}

/* podman's marks: relative to the caller's namespace, of one kind of ids, over what is there. */
static int refuse_marks(const char *option, const char *text, struct err *e)
{
        if (!strpbrk(text, "@+ug"))
                return 0;
        err_set(e, ERR_UNSUPPORTED, "%s: \"%s\": marks such as '@', '+', 'u' and 'g' are not built",
                option, text);
        return err_hint(e, "Write all mappings as INSIDE:HOST:SIZE, for users with --uidmap, "
                           "for groups with --gidmap");
}

static int parse_one(struct arena *a, const char *option, const char *text, struct id_mappings *m,
                     struct err *e)
{
        uint32_t v[3] = { 0, 0, 1 };
        const char *at = text, *part;
        size_t n = 0, len;
        bool good = true;

        while (str_next(&at, ':', &part, &len)) {
                good = good && n < 3 && str_to_u32(arena_strndup(a, part, len), &v[n]) == 0;
                n++;
        }
        if (!good || n < 2)
                return err_set(e, ERR_INVALID, "%s: \"%s\" is not INSIDE:HOST[:SIZE]", option,
                               text);
        add_map(a, m, (struct id_mapping){ v[0], v[1], v[2] });
        return 0;
}

int userns_parse_map(struct arena *a, const char *option, const char *text, struct id_mappings *m,
                     struct err *e)
{
        const char *at = text, *part;
        size_t len;

        if (refuse_marks(option, text, e) < 0)
                return -1;
        while (str_next(&at, ',', &part, &len))
                if (parse_one(a, option, arena_strndup(a, part, len), m, e) < 0)
                        return -1;
        return 0;
}

static int parse_maps(struct arena *a, const char *option, const struct strings *list,
                      struct id_mappings *m, struct err *e)
{
        for (size_t i = 0; i < list->n; i++)
                if (userns_parse_map(a, option, list->v[i], m, e) < 0)
                        return -1;
        return 0;
}

static int check(const struct id_mappings *m, const char *option, struct err *e)
{
        uint32_t root;

        if (spec_check_id_mappings(m, option, e) < 0)
                return -1;
        if (id_to_host(m, 0, &root))
                return 0;
        err_set(e, ERR_INVALID, "%s: id 0 of the container is not mapped", option);
        return err_hint(e, "A container is set up by its root: add 0:HOST:1");
}

/* ---- /etc/subuid ---- */

void userns_ranges(struct arena *a, const char *text, const char *name, struct id_ranges *ret)
{
        const char *at = text, *line;
        size_t len, n = strlen(name);

        *ret = (struct id_ranges){ 0 };
        while (str_next(&at, '\n', &line, &len)) {
                const char *rest = arena_strndup(a, line, len), *colon;
                struct id_range r, *v;

                if (len <= n || strncmp(rest, name, n) != 0 || rest[n] != ':')
                        continue;
                rest += n + 1;
                colon = strchr(rest, ':');
                if (!colon ||
                    str_to_u32(arena_strndup(a, rest, (size_t)(colon - rest)), &r.start) < 0 ||
                    str_to_u32(colon + 1, &r.size) < 0 || r.size == 0 ||
                    (uint64_t)r.start + r.size > UINT32_MAX)
                        continue; /* as shadow does it */
                v = arena_array(a, struct id_range, ret->n + 1);
                if (ret->n)
                        memcpy(v, ret->v, ret->n * sizeof *v);
                v[ret->n++] = r;
                ret->v = v;
        }
}

static int no_entry(const char *path, const char *name, struct err *e)
{
        err_set(e, ERR_NOT_FOUND, "\"%s\" gives the user \"%s\" no ids", path, name);
        if (!str_eq(name, OWNER))
                return err_hint(e, "a line %.60s:FIRST:COUNT there does; see subuid(5)", name);
        return err_hint(e,
                        "echo %s | tee -a /etc/subuid /etc/subgid, unless users of this host "
                        "have these ids",
                        SUGGESTED);
}

static int read_ranges(struct arena *a, const char *path, const char *name, struct id_ranges *ret,
                       struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t len;
        int r = fd_read_file_at(AT_FDCWD, path, FILE_MAX, &text, &len);

        if (r < 0 && r != -ENOENT)
                return err_sys(e, r, "cannot read \"%s\"", path);
        *ret = (struct id_ranges){ 0 };
        if (text)
                userns_ranges(a, text, name, ret);
        return ret->n ? 0 : no_entry(path, name, e);
}

/* All that a user has there, from 0 on. */
static int map_ranges(struct arena *a, const char *path, const char *name, struct id_mappings *m,
                      struct err *e)
{
        struct id_ranges r;
        uint32_t next = 0;

        if (read_ranges(a, path, name, &r, e) < 0)
                return -1;
        for (size_t i = 0; i < r.n; i++) {
                add_map(a, m, (struct id_mapping){ next, r.v[i].start, r.v[i].size });
                next += r.v[i].size;
        }
        return 0;
}

/* ---- options ---- */

static int parse_mapped(struct arena *a, const struct userns_args *args, struct userns *u,
                        struct err *e)
{
        const char *subuid = args->subuid ? args->subuid : args->subgid;
        const char *subgid = args->subgid ? args->subgid : args->subuid;
        bool maps = args->uid_maps.n || args->gid_maps.n;

        if (maps && subuid)
                return err_set(e, ERR_INVALID,
                               "--uidmap and --gidmap exclude --subuidname and --subgidname");
        u->mode = USERNS_MAPPED;
        if (subuid && (map_ranges(a, SUBUID, subuid, &u->uids, e) < 0 ||
                       map_ranges(a, SUBGID, subgid, &u->gids, e) < 0))
                return -1;
        if (parse_maps(a, "--uidmap", &args->uid_maps, &u->uids, e) < 0 ||
            parse_maps(a, "--gidmap", &args->gid_maps, &u->gids, e) < 0)
                return -1;
        if (u->uids.n == 0)
                u->uids = u->gids;
        if (u->gids.n == 0)
                u->gids = u->uids;
        return check(&u->uids, "--uidmap", e) < 0 ? -1 : check(&u->gids, "--gidmap", e);
}

/* "size=N,uidmapping=C:H:S,..."; a map's own ',' can't be told from these. */
static int parse_auto(struct arena *a, const char *options, struct userns *u, struct err *e)
{
        const char *at = options, *part, *value;
        size_t len;

        u->mode = USERNS_AUTO;
        while (str_next(&at, ',', &part, &len)) {
                const char *text = arena_strndup(a, part, len);
                int r = 0;

                if (!*text)
                        continue;
                if ((value = str_after(text, "size=")))
                        r = str_to_u32(value, &u->size) < 0 || u->size == 0 ? 1 : 0;
                else if ((value = str_after(text, "uidmapping=")))
                        r = userns_parse_map(a, "--userns", value, &u->uids, e);
                else if ((value = str_after(text, "gidmapping=")))
                        r = userns_parse_map(a, "--userns", value, &u->gids, e);
                else
                        r = 1;
                if (r < 0)
                        return -1;
                if (r > 0)
                        return err_set(e, ERR_INVALID,
                                       "--userns: \"%s\" is none of size=N, uidmapping=C:H:N, "
                                       "gidmapping=C:H:N",
                                       text);
        }
        return 0;
}

static int refuse(const char *text, struct err *e)
{
        static const char *const rootless[] = { "keep-id", "nomap" };

        for (size_t i = 0; i < ARRAY_SIZE(rootless); i++) {
                const char *rest = str_after(text, rootless[i]);

                if (!rest || (*rest && *rest != ':'))
                        continue;
                err_set(e, ERR_UNSUPPORTED, "--userns: %s is for callers that are not root",
                        rootless[i]);
                return err_hint(e, "--userns=auto gives the container ids of its own");
        }
        err_set(e, ERR_INVALID, "--userns: \"%s\" is no user namespace", text);
        return err_hint(e, "it is host, private, auto[:size=N,...], ns:PATH or container:NAME");
}

static int parse_mode(struct arena *a, const char *text, struct userns *u, struct err *e)
{
        const char *rest;

        if (str_empty(text) || str_eq(text, "host"))
                return 0;
        if (str_eq(text, "private") || str_eq(text, "auto"))
                return parse_auto(a, "", u, e);
        if ((rest = str_after(text, "auto:")))
                return parse_auto(a, rest, u, e);
        u->mode = str_after(text, "ns:") ? USERNS_PATH : USERNS_CONTAINER;
        rest = str_after(text, u->mode == USERNS_PATH ? "ns:" : "container:");
        if (str_empty(rest))
                return refuse(text, e);
        u->from = arena_strdup(a, rest);
        return 0;
}

int userns_parse(struct arena *a, const struct userns_args *args, struct userns *ret, struct err *e)
{
        bool mapped = args->uid_maps.n || args->gid_maps.n || args->subuid || args->subgid;

        *ret = (struct userns){ 0 };
        if (!mapped)
                return parse_mode(a, args->userns, ret, e);
        if (!str_empty(args->userns) && !str_eq(args->userns, "private"))
                return err_set(e, ERR_INVALID,
                               "--userns=%s excludes --uidmap, --gidmap, --subuidname and "
                               "--subgidname",
                               args->userns);
        return parse_mapped(a, args, ret, e);
}

/* ---- ranges of `auto` ---- */

static const struct id_range *in_the_way(const struct id_ranges *used, uint32_t start,
                                         uint32_t size)
{
        for (size_t i = 0; i < used->n; i++)
                if (start < (uint64_t)used->v[i].start + used->v[i].size &&
                    used->v[i].start < (uint64_t)start + size)
                        return &used->v[i];
        return NULL;
}

bool userns_choose(const struct id_ranges *have, const struct id_ranges *used, uint32_t size,
                   uint32_t *ret_start)
{
        for (size_t i = have->n; i-- > 0;) {
                const struct id_range *r = &have->v[i], *other;
                uint64_t end = (uint64_t)r->start + r->size;

                while (end >= (uint64_t)r->start + size) {
                        other = in_the_way(used, (uint32_t)(end - size), size);
                        if (!other) {
                                *ret_start = (uint32_t)(end - size);
                                return true;
                        }
                        end = other->start;
                }
        }
        return false;
}

static void add_used(struct arena *a, const struct id_mappings *m, struct id_ranges *used)
{
        struct id_range *v = arena_array(a, struct id_range, used->n + m->n + 1);

        if (used->n)
                memcpy(v, used->v, used->n * sizeof *v);
        for (size_t i = 0; i < m->n; i++)
                v[used->n++] = (struct id_range){ m->v[i].host_id, m->v[i].size };
        used->v = v;
}

/* What every container has, whether it runs or not. */
static int read_used(struct store *s, struct arena *a, struct id_ranges *uids,
                     struct id_ranges *gids, struct err *e)
{
        const char **rows;
        size_t n;

        if (store_containers(s, a, &rows, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                struct userns u;
                struct json j;

                if (!strstr(rows[i], "\"userns\"") ||
                    json_parse(a, rows[i], strlen(rows[i]), NULL, &j, NULL) < 0)
                        continue;
                userns_read(a, &j, &u);
                add_used(a, &u.uids, uids);
                add_used(a, &u.gids, gids);
        }
        return 0;
}

/* The range, and before it what was asked for by number. */
static void lay_out(struct arena *a, struct id_mappings *m, uint32_t start, uint32_t size)
{
        struct id_mappings given = *m;
        uint32_t id = 0;

        while (id < size) {
                uint32_t next = size, inside = 0;

                for (size_t i = 0; i < given.n; i++) {
                        uint32_t from = given.v[i].container_id;

                        if (id >= from && id - from < given.v[i].size)
                                inside = given.v[i].size - (id - from);
                        else if (from > id && from < next)
                                next = from;
                }
                if (!inside)
                        add_map(a, m, (struct id_mapping){ id, start + id, next - id });
                id = inside ? (inside < size - id ? id + inside : size) : next;
        }
}

static int choose(struct arena *a, const char *path, const struct id_ranges *used, uint32_t size,
                  struct id_mappings *m, struct err *e)
{
        struct id_ranges have;
        uint32_t start;

        if (read_ranges(a, path, OWNER, &have, e) < 0)
                return -1;
        if (userns_choose(&have, used, size, &start)) {
                lay_out(a, m, start, size);
                return check(m, "--userns", e);
        }
        err_set(e, ERR_LIMIT, "no %u ids in a row are left of those that \"%s\" gives \"%s\"", size,
                path, OWNER);
        return err_hint(e,
                        "Remove containers that aren't needed, add a line to %s, or ask for "
                        "less: --userns=auto:size=N",
                        path);
}

/* Held until the record is written: U1. */
static int lock_ranges(struct store *s, struct err *e)
{
        int fd = openat(store_dir(s), "userns.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                        0600);

        if (fd >= 0 && flock(fd, LOCK_EX) == 0)
                return fd;
        err_sys(e, errno, "cannot lock \"%s/userns.lock\"", store_path(s));
        fd_close(fd);
        return -1;
}

static int settle_auto(struct store *s, struct arena *a, int root, struct userns *u, int *ret_lock,
                       struct err *e)
{
        struct id_ranges uids = { 0 }, gids = { 0 };
        uint32_t size = u->size;
        AUTO_FD int lock = lock_ranges(s, e);

        if (lock < 0)
                return -1;
        if (size == 0)
                size = MAX(SIZE_LEAST, user_largest(root, SIZE_MOST - 1) + 1);
        if (read_used(s, a, &uids, &gids, e) < 0 ||
            choose(a, SUBUID, &uids, size, &u->uids, e) < 0 ||
            choose(a, SUBGID, &gids, size, &u->gids, e) < 0)
                return -1;
        *ret_lock = TAKE_FD(lock);
        return 0;
}

/* ---- one that exists ---- */

static int read_proc_map(struct arena *a, pid_t pid, const char *file, struct id_mappings *m)
{
        char path[64], text[16384];
        const char *at = text, *line;
        ssize_t n;
        size_t len;

        snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
        n = fd_read_text_at(AT_FDCWD, path, text, sizeof text);
        if (n < 0)
                return (int)n;
        while (str_next(&at, '\n', &line, &len)) {
                struct id_mapping x;

                if (sscanf(line, "%u %u %u", &x.container_id, &x.host_id, &x.size) == 3)
                        add_map(a, m, x);
        }
        return 0;
}

/* A process must be in it: its maps are in no other place. */
static int read_path(struct arena *a, struct userns *u, struct err *e)
{
        AUTO_FD int fd = open(u->from, O_RDONLY | O_CLOEXEC);
        int go[2], r;
        char byte = 0;
        pid_t pid;

        if (fd < 0)
                return err_sys(e, errno, "--userns: cannot open \"%s\"", u->from);
        if (pipe2(go, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        pid = fork();
        if (pid == 0) {
                byte = (char)(setns(fd, CLONE_NEWUSER) < 0 ? errno : 0);
                fd_write_all(go[1], &byte, 1);
                pause();
                _exit(0);
        }
        close(go[1]);
        r = pid < 0 ? -errno : read(go[0], &byte, 1) == 1 ? -byte : -EIO;
        close(go[0]);
        if (r == 0)
                r = read_proc_map(a, pid, "uid_map", &u->uids);
        if (r == 0)
                r = read_proc_map(a, pid, "gid_map", &u->gids);
        if (pid > 0) {
                kill(pid, SIGKILL);
                while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        return r < 0 ? err_sys(e, r, "--userns: cannot join \"%s\"", u->from)
               : check(&u->uids, "--userns", e) < 0 ? -1
                                                    : check(&u->gids, "--userns", e);
}

static int read_container(struct store *s, struct arena *a, struct userns *u, struct err *e)
{
        struct userns other;
        const char *text;
        struct json j;

        if (store_container_find(s, a, u->from, &text, e) < 0)
                return err_in(e, "--userns");
        if (json_parse(a, text, strlen(text), NULL, &j, NULL) < 0)
                return err_set(e, ERR_INTERNAL, "container.json is no JSON");
        userns_read(a, &j, &other);
        u->uids = other.uids;
        u->gids = other.gids;
        if (other.mode != USERNS_HOST)
                return 0;
        err_set(e, ERR_INVALID, "--userns: container \"%s\" has no user namespace of its own",
                u->from);
        return err_hint(e, "leave --userns out to be in the host's with it");
}

int userns_settle(struct store *s, struct arena *a, int root, struct userns *u, int *ret_lock,
                  struct err *e)
{
        *ret_lock = -1;
        switch (u->mode) {
        case USERNS_AUTO:
                return settle_auto(s, a, root, u, ret_lock, e);
        case USERNS_PATH:
                return read_path(a, u, e);
        case USERNS_CONTAINER:
                return read_container(s, a, u, e);
        default:
                return 0;
        }
}

/* ---- JSON ---- */

static const char *const mode_names[] = { [USERNS_HOST] = "host",
                                          [USERNS_MAPPED] = "mapped",
                                          [USERNS_AUTO] = "auto",
                                          [USERNS_PATH] = "path",
                                          [USERNS_CONTAINER] = "container" };

static void put_maps(const char *name, const struct id_mappings *m, struct json_writer *w)
{
        json_open(w, name, '[');
        for (size_t i = 0; i < m->n; i++) {
                json_open(w, NULL, '{');
                json_put_u64(w, "containerID", m->v[i].container_id);
                json_put_u64(w, "hostID", m->v[i].host_id);
                json_put_u64(w, "size", m->v[i].size);
                json_close(w, '}');
        }
        json_close(w, ']');
}

void userns_write(const struct userns *u, struct json_writer *w)
{
        put_maps("uidMappings", &u->uids, w);
        put_maps("gidMappings", &u->gids, w);
}

void userns_record(const struct userns *u, struct json_writer *w)
{
        if (u->mode == USERNS_HOST)
                return;
        json_open(w, "userns", '{');
        json_put_str(w, "mode", mode_names[u->mode]);
        if (u->from)
                json_put_str(w, "from", u->from);
        userns_write(u, w);
        json_close(w, '}');
}

static bool read_id(const struct json *j, const char *name, uint32_t *ret)
{
        uint64_t n;

        if (!json_to_u64(json_get(j, name), &n) || n > UINT32_MAX)
                return false;
        *ret = (uint32_t)n;
        return true;
}

static void read_maps(struct arena *a, const struct json *list, struct id_mappings *m)
{
        struct id_mapping x;

        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++)
                if (read_id(&list->items[i], "containerID", &x.container_id) &&
                    read_id(&list->items[i], "hostID", &x.host_id) &&
                    read_id(&list->items[i], "size", &x.size))
                        add_map(a, m, x);
}

void userns_read(struct arena *a, const struct json *record, struct userns *ret)
{
        const struct json *j = json_get(record, "userns");
        int mode = j ? STR_INDEX(mode_names, json_str(json_get(j, "mode"), "")) : 0;

        *ret = (struct userns){ .mode = mode > 0 ? (enum userns_mode)mode : USERNS_HOST };
        if (ret->mode == USERNS_HOST)
                return;
        ret->from = json_str(json_get(j, "from"), NULL);
        read_maps(a, json_get(j, "uidMappings"), &ret->uids);
        read_maps(a, json_get(j, "gidMappings"), &ret->gids);
}
