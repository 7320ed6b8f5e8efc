#include "engine/namespaces.h"

#include <string.h>

#include "base/str.h"

static const struct {
        const char *option, *type, *file;
        const char *accept; /* further words for a private one, with blanks between them */
        bool joins;         /* another container's */
} kinds[KIND_MAX] = {
        [KIND_PID] = { "pid", "pid", "pid", NULL, true },
        [KIND_IPC] = { "ipc", "ipc", "ipc", "shareable none", true },
        [KIND_UTS] = { "uts", "uts", "uts", NULL, true },
        [KIND_CGROUP] = { "cgroupns", "cgroup", "cgroup", NULL, false },
        [KIND_NETWORK] = { "network", "network", "net", "none", true },
        [KIND_USER] = { "userns", "user", "user", NULL, true },
};

static int refuse(enum ns_kind kind, const char *text, struct err *e)
{
        err_set(e, ERR_UNSUPPORTED, "--%s: \"%s\" is not supported", kinds[kind].option, text);
        if (kind == KIND_NETWORK)
                return err_hint(e, "networks are not built yet: none, host or container:NAME");
        return err_hint(e, "it is private, host%s", kinds[kind].joins ? " or container:NAME" : "");
}

static bool accepts(const char *words, const char *text)
{
        const char *word;
        size_t n;

        while (words && str_next(&words, ' ', &word, &n))
                if (strlen(text) == n && memcmp(text, word, n) == 0)
                        return true;
        return false;
}

int namespaces_parse(struct arena *a, enum ns_kind kind, const char *text, struct ns_choice *ret,
                     struct err *e)
{
        const char *name = text ? str_after(text, "container:") : NULL;

        *ret = (struct ns_choice){ .mode = MODE_PRIVATE };
        if (str_empty(text) || str_eq(text, "private"))
                return 0;
        if (accepts(kinds[kind].accept, text)) {
                ret->word = arena_strdup(a, text);
                return 0;
        }
        if (str_eq(text, "host")) {
                ret->mode = MODE_HOST;
                return 0;
        }
        if (!name || !*name || !kinds[kind].joins)
                return refuse(kind, text, e);
        ret->mode = MODE_CONTAINER;
        ret->container = arena_strdup(a, name);
        return 0;
}

void namespaces_join(struct arena *a, enum ns_kind kind, int pid, struct ns_choice *c)
{
        c->path = arena_printf(a, "/proc/%d/ns/%s", pid, kinds[kind].file);
}

void namespaces_write(const struct ns_choice *c, struct json_writer *w)
{
        json_open(w, "namespaces", '[');
        for (int i = 0; i < KIND_MAX; i++) {
                if (c[i].mode == MODE_HOST)
                        continue;
                json_open(w, NULL, '{');
                json_put_str(w, "type", kinds[i].type);
                if (c[i].path)
                        json_put_str(w, "path", c[i].path);
                json_close(w, '}');
        }
        json_open(w, NULL, '{');
        json_put_str(w, "type", "mount");
        json_close(w, '}');
        json_close(w, ']');
}
