#include "controller/world/payloads.h"

#include <boost/json.hpp>
#include <limits>

namespace cordon::controller::kinds {

namespace json = boost::json;
using wire::Fields;

namespace {
constexpr std::size_t kMaxPolicyFiles = 4096;

Revision revision(Fields& f) {
  return Revision(
      static_cast<std::uint64_t>(f.integer("revision", 1, std::numeric_limits<std::int64_t>::max())));
}
}  // namespace

// {"files":[{"name":"a.toml","text":"..."}]}
// Version 2: {"confirm_by":N,"files":[{"name":"a.toml","text":"..."}],"tzdata":"2025b"}
json::object write(const PolicyApplied& k) {
  json::array files;
  for (const auto& file : k.files) files.push_back(json::object{{"name", file.name}, {"text", file.text}});
  if (version_of(k) == 1) return {{"files", std::move(files)}};
  return {{"confirm_by", to_us(k.confirm_by)}, {"files", std::move(files)}, {"tzdata", k.tzdata}};
}
void read(Fields& f, PolicyApplied& k, std::uint32_t version) {
  if (version > 1) {
    k.confirm_by = time(f, "confirm_by");
    k.tzdata = f.text("tzdata", 64);
  }
  const auto* value = f.value("files");
  if (value == nullptr) return;
  const auto* files = value->if_array();
  if (files == nullptr || files->size() > kMaxPolicyFiles)
    return f.refuse("files", "must be a list of at most 4096 files");
  for (const auto& file : *files) {
    Fields inner(file, "file");
    k.files.push_back({.name = inner.text("name"), .text = inner.text("text", kMaxFileBytes, 0)});
    if (const auto done = inner.finish(); !done) return f.refuse("files", done.error().what);
  }
}

// {"revision":N}
json::object write(const PolicyConfirmed& k) {
  return {{"revision", k.revision.value}};
}
void read(Fields& f, PolicyConfirmed& k) {
  k.revision = revision(f);
}

// {"reason":"not confirmed in time","revision":N}
json::object write(const PolicyRolledBack& k) {
  return {{"reason", k.reason}, {"revision", k.revision.value}};
}
void read(Fields& f, PolicyRolledBack& k) {
  k.reason = f.text("reason", 1000, 0);
  k.revision = revision(f);
}

}  // namespace cordon::controller::kinds
