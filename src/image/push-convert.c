/* From docker's manifests to OCI's and back: other names for the same blobs. */
#include "base/str.h"
#include "image/compose.h"
#include "image/push-internal.h"

#define FOREIGN "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
#define NONDISTRIBUTABLE "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"

const char *push_compression_of(const char *media_type)
{
        static const char *const names[] = { "gzip", "zstd" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (str_ends(media_type, names[i]))
                        return names[i];
        return "none";
}

int push_convert(struct push_document *x, bool docker, struct err *e)
{
        struct manifest *m = &x->m;

        if (m->docker == docker)
                return 0;
        if (!x->layered)
                return err_set(e, ERR_UNSUPPORTED, "%s is no image: it has no other format",
                               x->digest);
        if (docker && m->subject)
                return err_set(e, ERR_UNSUPPORTED, "docker's format has no subject");
        for (size_t k = 0; k < m->nlayers; k++) {
                struct descriptor *d = &m->layers[k];
                const char *type = compose_layer_type(docker, push_compression_of(d->media_type));

                if (!media_type_distributable(d->media_type))
                        type = docker ? FOREIGN : NONDISTRIBUTABLE;
                /* zstd has no name there: such a layer is packed again. */
                d->media_type = type ? type : d->media_type;
        }
        m->docker = docker;
        m->media_type = docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST;
        m->config.media_type = docker ? MEDIA_DOCKER_CONFIG : MEDIA_OCI_CONFIG;
        x->changed = true;
        return 0;
}
