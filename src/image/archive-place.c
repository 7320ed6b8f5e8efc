/* TRANSPORT:PATH[:REFERENCE], as podman and skopeo take it (containers-transports(5)). */
#include "base/str.h"
#include "image/archive.h"

const char *const archive_format_names[ARCHIVE_FORMAT_MAX + 1] = {
        [ARCHIVE_DOCKER] = "docker-archive",
        [ARCHIVE_OCI] = "oci-archive",
        [ARCHIVE_OCI_DIR] = "oci-dir",
        [ARCHIVE_DOCKER_DIR] = "docker-dir",
};

static const struct {
        const char *prefix;
        enum archive_format format;
        bool reference; /* may follow the path */
} transports[] = {
        { "docker-archive:", ARCHIVE_DOCKER, true },
        { "oci-archive:", ARCHIVE_OCI, true },
        { "oci:", ARCHIVE_OCI_DIR, true },
        { "dir:", ARCHIVE_DOCKER_DIR, false },
};

static const char *const unsupported[] = {
        "containers-storage:", "docker-daemon:", "ostree:", "sif:", "tarball:", "atomic:"
};

int archive_place_parse(struct arena *a, const char *text, struct archive_place *ret,
                        const char **ret_reference, struct err *e)
{
        const char *rest = str_after(text, "docker://"), *colon;

        *ret_reference = rest ? rest : text;
        if (rest)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
                if (str_after(text, unsupported[i])) {
                        err_set(e, ERR_UNSUPPORTED, "transport \"%s\" is not supported",
                                unsupported[i]);
                        return err_hint(e, "docker://, oci:, oci-archive:, docker-archive: and "
                                           "dir: are; `berth save` and `berth load` exchange "
                                           "files with others.");
                }
        for (size_t i = 0; i < ARRAY_SIZE(transports); i++) {
                if (!(rest = str_after(text, transports[i].prefix)))
                        continue;
                colon = transports[i].reference ? strchr(rest, ':') : NULL;
                *ret = (struct archive_place){ transports[i].format, rest, NULL };
                if (colon) {
                        ret->path = arena_strndup(a, rest, (size_t)(colon - rest));
                        ret->reference = colon[1] ? colon + 1 : NULL;
                }
                if (str_empty(ret->path))
                        return err_set(e, ERR_INVALID, "\"%s\" names no path", text);
                return 1;
        }
        return 0;
}
