// ebpf/abi.h is the same on both sides: what C++ sees is what the loaded object's BTF says.

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "node/filter/layout.h"
#include "node/filter/map_layout.h"
#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace layout_test {

struct FreeBtf {
  void operator()(btf* b) const { btf__free(b); }
};

class LayoutTest : public FilterTest {
 protected:
  std::unique_ptr<btf, FreeBtf> loaded_btf() const {
    bpf_map_info info{};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(filter_->objects().map("flows"), &info, &size) != 0) return nullptr;
    return std::unique_ptr<btf, FreeBtf>(btf__load_from_kernel_by_id(info.btf_id));
  }
};

TEST_F(LayoutTest, EveryFieldStandsWhereTheKernelsProgramsReadIt) {
  const auto types = loaded_btf();
  ASSERT_NE(types, nullptr);
  for (const node::FieldLayout& expected : node::abi_layout()) {
    // What goes through a ring buffer has no type in BTF: FlowTest.EventsTellOpenedDeniedAndClosed reads its
    // fields.
    if (std::string_view(expected.structure) == "cordon_event") continue;
    const std::string name = std::string(expected.structure) + "." + expected.field;
    const auto id = btf__find_by_name_kind(types.get(), expected.structure, BTF_KIND_STRUCT);
    ASSERT_GT(id, 0) << name;
    const btf_type* type = btf__type_by_id(types.get(), static_cast<__u32>(id));
    if (*expected.field == '\0') {
      EXPECT_EQ(type->size, expected.size) << name;
      continue;
    }
    bool found = false;
    for (__u32 i = 0; i < btf_vlen(type); ++i) {
      const btf_member& member = btf_members(type)[i];
      if (std::string_view(btf__name_by_offset(types.get(), member.name_off)) != expected.field) continue;
      found = true;
      EXPECT_EQ(btf_member_bit_offset(type, i), expected.offset * 8) << name;
      EXPECT_EQ(btf__resolve_size(types.get(), member.type), static_cast<__s64>(expected.size)) << name;
    }
    EXPECT_TRUE(found) << name;
  }
}

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};

/// A row of a map as a version had it whose value was `before`, in today's layout.
template <class Row, class Before>
Row taken_over(const char* map, const std::vector<node::MapField>& fields, const Before& before) {
  const auto programs = node::built_in_programs();
  const std::unique_ptr<bpf_object, CloseObject> object(
      bpf_object__open_mem(programs.data(), programs.size(), nullptr));
  const auto now =
      node::layout_of(bpf_object__find_map_by_name(object.get(), map), bpf_object__btf(object.get())).value();
  node::MapLayout old = now;
  old.value = fields;
  old.value_size = sizeof before;
  const auto conversion = node::RowConversion::between(old, now);
  Row out{};
  EXPECT_EQ(now.value_size, sizeof out);
  if (conversion)
    conversion->value(reinterpret_cast<const std::uint8_t*>(&before), reinterpret_cast<std::uint8_t*>(&out));
  return out;
}

// Rows had one side, and settings no generation.
TEST(Layout, WhatAVersionWithoutSidesHeldHolds) {
  struct OldPrincipal {
    std::uint64_t class_id = 7, deadlines[CORDON_DEADLINE_SLOTS] = {1, 2, 3, 4, 5, 6, 7, 8};
    std::uint32_t flags = CORDON_PRINCIPAL_CHECK_OWNER, uid = 1000;
  };
  const auto principal = taken_over<cordon_principal>(
      "principals", {{"class_id", 0, 8}, {"deadline_ns", 8, 64}, {"flags", 72, 4}, {"uid", 76, 4}},
      OldPrincipal{});
  EXPECT_EQ(principal.changed_in, 0u);
  EXPECT_EQ(principal.now.class_id, 7u);
  EXPECT_EQ(principal.now.deadline_ns[7], 8u);
  EXPECT_EQ(principal.now.flags, CORDON_PRINCIPAL_CHECK_OWNER);
  EXPECT_EQ(principal.now.uid, 1000u);
  EXPECT_EQ(principal.before.class_id, 0u);

  struct OldTarget {
    std::uint32_t id = 9, flags = CORDON_TARGET_OBSERVE;
  };
  const auto target = taken_over<cordon_target>("targets", {{"id", 0, 4}, {"flags", 4, 4}}, OldTarget{});
  EXPECT_EQ(target.changed_in, 0u);
  EXPECT_EQ(target.now.id, 9u);
  EXPECT_EQ(target.now.flags, CORDON_TARGET_OBSERVE);

  struct OldSettings {
    std::uint32_t epoch = 5, flags = CORDON_SETTINGS_READY;
    std::uint64_t confirmed_ns = 11, node_lease_ns = 12;
  };
  const auto settings = taken_over<cordon_settings>(
      "settings", {{"epoch", 0, 4}, {"flags", 4, 4}, {"confirmed_ns", 8, 8}, {"node_lease_ns", 16, 8}},
      OldSettings{});
  EXPECT_EQ(settings.epoch, 5u);
  EXPECT_EQ(settings.flags, CORDON_SETTINGS_READY) << "generation 0";
  EXPECT_EQ(settings.confirmed_ns, 11u);
  EXPECT_EQ(settings.node_lease_ns, 12u);
}

}  // namespace layout_test
}  // namespace cordon::test
