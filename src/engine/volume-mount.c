/* Volumes that are file systems of their own, as docker's local driver has them: --opt type=,
 * device=, o=. One is mounted on its _data for its first user, so that all have the same (a tmpfs
 * too), and unmounted when the last one that runs ends: by whoever stops or removes it, else by its
 * monitor, which calls `berth container cleanup`. Containers get copies of that mount
 * (ctr-prepare.c): no namespace but this one needs to see it. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/settings.h"
#include "engine/volume.h"
#include "kernel/mount.h"

static const char *option(const struct volume *v, const char *key)
{
        for (size_t i = 0; i < v->options.n; i++)
                if (str_eq(v->options.v[i].key, key))
                        return v->options.v[i].value;
        return "";
}

int volume_check_options(const struct key_values *options, struct err *e)
{
        static const char *const known[] = { "type", "device", "o" };
        const struct volume v = { .options = *options };

        for (size_t i = 0; i < options->n; i++)
                if (STR_INDEX(known, options->v[i].key) < 0)
                        return err_set(e, ERR_INVALID, "--opt: \"%s\" is none of type, device, o",
                                       options->v[i].key);
        if (options->n && !*option(&v, "device") && !*option(&v, "type"))
                return err_set(e, ERR_INVALID, "--opt: a device or a type is needed");
        return 0;
}

/* Exclusive, of this volume's mount. */
static int lock(struct store *s, const char *name, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_FD int fd = openat(store_dir(s), arena_printf(&a, "volumes/%s/volume.json", name),
                                O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 || flock(fd, LOCK_EX) < 0)
                return err_sys(e, errno, "cannot lock volume \"%s\"", name);
        return TAKE_FD(fd);
}

/* 1, 0, or -1 with e. */
static int is_mounted(struct store *s, const char *name, struct err *e)
{
        AUTO_FD int data = volume_data(s, name, e);
        bool root = false;
        uint64_t id;
        int r = data < 0 ? 0 : mount_id(data, &id, &root);

        if (data < 0)
                return -1;
        return r < 0 ? err_sys(e, r, "cannot look at volume \"%s\"", name) : root;
}

/* mount(8) knows the helpers of file systems of networks, as mount(2) does not. */
static int run_mount(char *const *argv, struct err *e)
{
        char text[300] = "", *end;
        posix_spawn_file_actions_t actions;
        int pair[2], status = 0, r;
        pid_t pid;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, pair[1], STDERR_FILENO);
        r = posix_spawnp(&pid, "mount", &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(pair[1]);
        if (r == 0) {
                fd_read_text(pair[0], text, sizeof text);
                while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                        ;
        }
        close(pair[0]);
        if (r)
                return err_sys(e, r, "cannot run mount(8)");
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        end = strchr(text, '\n');
        if (end)
                *end = 0;
        return err_set(e, ERR_SYSTEM, "%s", *text ? text : "mount(8) failed");
}

static int mount_it(const struct volume *v, struct arena *a, struct err *e)
{
        const char *type = option(v, "type"), *device = option(v, "device"), *o = option(v, "o");
        struct strings argv = { 0 };

        strings_add(a, &argv, "mount");
        if (*type) {
                strings_add(a, &argv, "-t");
                strings_add(a, &argv, type);
        }
        if (*o) {
                strings_add(a, &argv, "-o");
                strings_add(a, &argv, o);
        }
        strings_add(a, &argv, "--");
        strings_add(a, &argv, *device ? device : type);
        strings_add(a, &argv, v->mountpoint);
        strings_add(a, &argv, NULL);
        return run_mount((char *const *)argv.v, e);
}

int volume_mount(struct store *s, const char *name, bool *ret_own, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct volume v;
        int r;

        if (volume_find(s, &a, name, &v, e) < 0)
                return -1;
        *ret_own = v.options.n > 0;
        if (!*ret_own)
                return volume_data(s, name, e);
        AUTO_FD int held = lock(s, name, e);
        r = held < 0 ? -1 : is_mounted(s, name, e);
        if (r == 0)
                r = mount_it(&v, &a, e);
        /* While the descriptor is open, nobody unmounts it. */
        return r < 0 ? err_in(e, "cannot mount volume \"%s\"", name) : volume_data(s, name, e);
}

/* One that is busy, for somebody on this host looks into it, stays. */
static void unmount(struct store *s, const char *name)
{
        struct err ignored = { 0 };
        AUTO_ARENA a = { 0 };
        struct volume v;

        if (volume_find(s, &a, name, &v, &ignored) == 0 && v.options.n &&
            is_mounted(s, name, &ignored) > 0)
                umount2(v.mountpoint, UMOUNT_NOFOLLOW);
}

void volume_unmount(struct engine *g, const char *name)
{
        struct err ignored = { 0 };
        AUTO_ARENA a = { 0 };
        AUTO_FD int held = lock(g->store, name, &ignored);
        struct strings users;

        if (held >= 0 && volume_users(g, &a, name, &users, &ignored) == 0) {
                for (size_t i = 0; i < users.n; i++) {
                        struct ctr_state state;
                        struct ctr c;

                        if (ctr_find(g, &a, users.v[i], &c, &ignored) < 0)
                                continue;
                        ctr_state(g, &c, &state);
                        if (ctr_is_up(&state) ||
                            (state.status == CTR_CREATED && state.monitor.monitor > 0))
                                return;
                }
                unmount(g->store, name);
        }
}

void ctr_volumes_release(struct engine *g, const struct ctr *c)
{
        const struct json *list = json_get(c->record, "prepared");

        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++) {
                const char *name = json_str(json_get(&list->items[i], "volume"), NULL);

                if (name)
                        volume_unmount(g, name);
        }
}
