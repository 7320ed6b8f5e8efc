/* What --userns and its like say, and which range is chosen. */
#include "base/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "engine/userns.h"

static struct arena arena;
static struct err e;

static int given(const char *userns, const char *uids, const char *gids, struct userns *u)
{
        const char *uid_list[] = { uids }, *gid_list[] = { gids };
        const struct userns_args args = { .userns = userns,
                                          .uid_maps = { uid_list, uids != NULL },
                                          .gid_maps = { gid_list, gids != NULL } };

        err_clear(&e);
        return userns_parse(&arena, &args, u, &e);
}

static void check_map(const struct id_mapping *m, uint32_t inside, uint32_t host, uint32_t size)
{
        assert_int_equal(m->container_id, inside);
        assert_int_equal(m->host_id, host);
        assert_int_equal(m->size, size);
}

static void test_modes(void **state)
{
        struct userns u;

        assert_int_equal(given(NULL, NULL, NULL, &u), 0);
        assert_int_equal(u.mode, USERNS_HOST);
        assert_int_equal(given("host", NULL, NULL, &u), 0);
        assert_int_equal(u.mode, USERNS_HOST);
        assert_int_equal(given("private", NULL, NULL, &u), 0);
        assert_int_equal(u.mode, USERNS_AUTO);
        assert_int_equal(
                given("auto:size=1024,uidmapping=5:1000:2,gidmapping=7:100", NULL, NULL, &u), 0);
        assert_int_equal(u.mode, USERNS_AUTO);
        assert_int_equal(u.size, 1024);
        check_map(&u.uids.v[0], 5, 1000, 2);
        check_map(&u.gids.v[0], 7, 100, 1);
        assert_int_equal(given("ns:/proc/1/ns/user", NULL, NULL, &u), 0);
        assert_int_equal(u.mode, USERNS_PATH);
        assert_string_equal(u.from, "/proc/1/ns/user");
        assert_int_equal(given("container:web", NULL, NULL, &u), 0);
        assert_int_equal(u.mode, USERNS_CONTAINER);
        assert_string_equal(u.from, "web");
}

static void test_refused(void **state)
{
        static const struct {
                const char *userns, *uids, *words;
        } rows[] = {
                { "nonsense", NULL, "no user namespace" },
                { "container:", NULL, "no user namespace" },
                { "keep-id", NULL, "not root" },
                { "keep-id:uid=5", NULL, "not root" },
                { "nomap", NULL, "not root" },
                { "auto:size=0", NULL, "size=0" },
                { "auto:size=x", NULL, "size=x" },
                { "auto:nothing=1", NULL, "nothing=1" },
                { "auto", "0:1:2", "excludes" },
                { "host", "0:1:2", "excludes" },
                { NULL, "0", "INSIDE" },
                { NULL, "0:1:2:3", "INSIDE" },
                { NULL, "0:-1:2", "INSIDE" },
                { NULL, "0:@1:2", "marks" },
                { NULL, "+0:1:2", "marks" },
                { NULL, "u0:1:2", "marks" },
                { NULL, "1:1:2", "id 0" },
                { NULL, "0:1:0", "size" },
                { NULL, "0:1:2,1:9:2", "overlaps" },
                { NULL, "0:1:2,5:2:2", "overlaps" },
                { NULL, "0:4294967290:10", "beyond" },
        };
        struct userns u;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(given(rows[i].userns, rows[i].uids, NULL, &u), -1);
                if (!strstr(e.chain, rows[i].words))
                        fail_msg("%zu: %s", i, e.chain);
        }
}

static void test_maps(void **state)
{
        struct userns u;

        assert_int_equal(given(NULL, "0:100000:1000,1000:1000", NULL, &u), 0);
        assert_int_equal(u.mode, USERNS_MAPPED);
        assert_int_equal(u.uids.n, 2);
        check_map(&u.uids.v[0], 0, 100000, 1000);
        check_map(&u.uids.v[1], 1000, 1000, 1);
        assert_int_equal(u.gids.n, 2); /* the same, where only one of them is given */
        check_map(&u.gids.v[1], 1000, 1000, 1);
        assert_int_equal(given("private", NULL, "0:5:7", &u), 0);
        check_map(&u.uids.v[0], 0, 5, 7);
        assert_int_equal(given(NULL, "0:1:1", "0:5:7", &u), 0);
        check_map(&u.uids.v[0], 0, 1, 1);
        check_map(&u.gids.v[0], 0, 5, 7);
}

static void test_ranges(void **state)
{
        static const char text[] = "# comment\n"
                                   "containersx:1:2\n"
                                   "containers:100000:65536\n"
                                   "containers:5\n"
                                   "containers:5:0\n"
                                   "containers:x:7\n"
                                   "containers:4294967295:7\n"
                                   "other:300000:65536\n"
                                   "containers:500000:10";
        struct id_ranges r;

        userns_ranges(&arena, text, "containers", &r);
        assert_int_equal(r.n, 2);
        assert_int_equal(r.v[0].start, 100000);
        assert_int_equal(r.v[0].size, 65536);
        assert_int_equal(r.v[1].start, 500000);
        assert_int_equal(r.v[1].size, 10);
        userns_ranges(&arena, text, "nobody", &r);
        assert_int_equal(r.n, 0);
}

static void test_choice(void **state)
{
        struct id_range have_v[] = { { 1000, 100 }, { 5000, 50 } };
        struct id_range used_v[] = { { 5020, 10 }, { 1090, 5 }, { 1, 900 }, { 1060, 1 } };
        struct id_ranges have = { have_v, 2 }, used = { used_v, 0 };
        uint32_t start = 7;

        assert_true(userns_choose(&have, &used, 50, &start));
        assert_int_equal(start, 5000);
        used.n = 4;
        assert_true(userns_choose(&have, &used, 20, &start));
        assert_int_equal(start, 5030);
        used_v[0].size = 30; /* to its end */
        assert_true(userns_choose(&have, &used, 20, &start));
        assert_int_equal(start, 5000);
        assert_true(userns_choose(&have, &used, 29, &start));
        assert_int_equal(start, 1061);
        assert_true(userns_choose(&have, &used, 60, &start));
        assert_int_equal(start, 1000);
        start = 7;
        assert_false(userns_choose(&have, &used, 61, &start));
        assert_int_equal(start, 7);
        have_v[1] = (struct id_range){ 0, 5 };
        assert_false(userns_choose(&have, &used, 61, &start)); /* size above what is below it */
}

static void test_ids(void **state)
{
        struct id_mapping v[] = { { 0, 100000, 10 }, { 50, 7, 1 } };
        const struct id_mappings m = { v, 2 }, none = { 0 };
        uint32_t id = 3;

        assert_true(id_to_host(&m, 9, &id));
        assert_int_equal(id, 100009);
        assert_false(id_to_host(&m, 10, &id));
        assert_int_equal(id, 100009);
        assert_true(id_to_container(&m, 7, &id));
        assert_int_equal(id, 50);
        assert_int_equal(id_seen(&m, 100001), 1);
        assert_int_equal(id_seen(&m, 0), 65534);
        assert_int_equal(id_seen(&none, 5), 5);
}

static int done(void **state)
{
        arena_done(&arena);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_modes),  cmocka_unit_test(test_refused),
                cmocka_unit_test(test_maps),   cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_choice), cmocka_unit_test(test_ids),
        };

        return cmocka_run_group_tests_name("userns", tests, NULL, done);
}
