/* Manifests and indexes as a registry sends them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct descriptor *d)
{
        if (!d->media_type || digest_check(d->digest, NULL) < 0 || d->size > INT64_MAX)
                abort();
        for (size_t i = 0; i < d->urls.n; i++)
                if (!d->urls.v[i])
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const types[] = { NULL, MEDIA_OCI_MANIFEST, MEDIA_DOCKER_LIST, "a/b" };
        struct platform want = { "linux", "arm64", "v8", "" };
        AUTO_ARENA a = { 0 };
        const struct descriptor *d;
        struct manifest m;

        if (size == 0 ||
            manifest_parse(&a, (const char *)data + 1, size - 1, types[data[0] % 4], &m, NULL) < 0)
                return 0;
        if (m.config.digest)
                check(&m.config);
        for (size_t i = 0; i < m.nlayers; i++)
                check(&m.layers[i]);
        if (m.subject)
                check(m.subject);
        if (manifest_is_image(&m) && (m.nlayers > MANIFEST_LAYERS_MAX || !m.config.digest))
                abort();
        if (m.kind == MANIFEST_INDEX && manifest_choose(&m, &want, &d, NULL) == 0)
                check(d);
        return 0;
}
