#include "controller/core/places.h"

#include <fmt/format.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_set>

#include "base/files.h"

namespace cordon::controller {

namespace {

constexpr std::size_t kMaxDatabaseBytes = 512u << 20;
constexpr std::size_t kMaxTypeBytes = 100;
constexpr const char* kMend = "install it again, or take \"database\" out of [places]";

/// The code at `path` of an entry; none where the entry has no such text.
Result<std::optional<std::string>> code_at(MMDB_entry_s entry, const char* group) {
  const char* const path[] = {group, "iso_code", nullptr};
  MMDB_entry_data_s data{};
  const int status = MMDB_aget_value(&entry, &data, path);
  if (status == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR) return std::nullopt;
  if (status != MMDB_SUCCESS) return fail(ErrorCode::invalid, MMDB_strerror(status));
  if (!data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING || data.data_size != 2) return std::nullopt;
  const std::string code(data.utf8_string, data.data_size);
  const bool is_code = std::ranges::all_of(code, [](char c) { return c >= 'A' && c <= 'Z'; });
  return is_code ? std::optional(code) : std::nullopt;
}

Result<std::optional<std::string>> country_in(const MMDB_entry_s& entry) {
  CORDON_ASSIGN(auto used_in, code_at(entry, "country"));
  if (used_in) return used_in;
  return code_at(entry, "registered_country");
}

/// Every node and every entry once: whether they can be read. The answer: whether any names a country.
Result<bool> look_at_all(const MMDB_s& mmdb) {
  std::unordered_set<std::uint32_t> seen;
  bool any = false;
  const auto look = [&](std::uint8_t type, const MMDB_entry_s& entry) -> Result<> {
    if (type == MMDB_RECORD_TYPE_INVALID) return fail(ErrorCode::invalid, "its search tree is broken");
    if (type != MMDB_RECORD_TYPE_DATA || !seen.insert(entry.offset).second) return {};
    CORDON_ASSIGN(const auto country, country_in(entry));
    any = any || country.has_value();
    return {};
  };
  for (std::uint32_t i = 0; i < mmdb.metadata.node_count; ++i) {
    MMDB_search_node_s node{};
    if (const int status = MMDB_read_node(&mmdb, i, &node); status != MMDB_SUCCESS)
      return fail(ErrorCode::invalid, MMDB_strerror(status));
    CORDON_TRY(look(node.left_record_type, node.left_record_entry));
    CORDON_TRY(look(node.right_record_type, node.right_record_entry));
  }
  return any;
}

bool is_type(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTypeBytes &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

/// The library takes a file's name and maps the file. What it maps is a copy of our own: somebody who writes
/// over the file that was named can't change or cut what lies under the map.
struct Places::Database {
  MMDB_s mmdb{};
  bool opened = false;

  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() {
    if (opened) MMDB_close(&mmdb);
  }

  Result<> open(std::string_view bytes) {
    const int fd = memfd_create("countries", MFD_CLOEXEC);
    if (fd < 0) return fail_errno("no memory for it", errno);
    const auto done = [fd](Result<> result) {
      close(fd);
      return result;
    };
    for (std::string_view rest = bytes; !rest.empty();) {
      const ssize_t written = write(fd, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return done(fail_errno("no memory for it", errno));
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    const int status = MMDB_open(fmt::format("/proc/self/fd/{}", fd).c_str(), MMDB_MODE_MMAP, &mmdb);
    if (status == MMDB_FILE_OPEN_ERROR || status == MMDB_IO_ERROR || status == MMDB_OUT_OF_MEMORY_ERROR)
      return done(fail_errno(MMDB_strerror(status), errno));
    if (status != MMDB_SUCCESS) return done(fail(ErrorCode::invalid, MMDB_strerror(status)));
    opened = true;
    return done({});
  }
};

Places::Places(std::unique_ptr<Database> database)
    : database_(std::move(database)),
      version_(fmt::format("{} {}", database_->mmdb.metadata.database_type,
                           database_->mmdb.metadata.build_epoch)) {}

Places::~Places() = default;

Result<std::unique_ptr<Places>> Places::open(const std::filesystem::path& database) {
  const auto broken = [&](const Error& why) {
    return fail(why.code, fmt::format("{} is no database of countries: {}", database.string(), why.what),
                kMend);
  };
  auto bytes = read_file(database, kMaxDatabaseBytes);
  if (!bytes) {
    if (bytes.error().hint.empty()) bytes.error().hint = kMend;
    return std::unexpected(in_context(bytes.error(), "the database of [places]"));
  }
  if (bytes->empty()) return broken({.code = ErrorCode::invalid, .what = "it is empty"});
  auto opened = std::make_unique<Database>();
  if (const auto result = opened->open(*bytes); !result) return broken(result.error());
  bytes->clear();
  bytes->shrink_to_fit();
  const char* type = opened->mmdb.metadata.database_type;
  if (type == nullptr || !is_type(type))
    return broken({.code = ErrorCode::invalid, .what = "its type is no plain text"});
  const auto any = look_at_all(opened->mmdb);
  if (!any) return broken(any.error());
  if (!*any) {
    return fail(ErrorCode::invalid,
                fmt::format("{} is a database of type \"{}\" that names no country", database.string(), type),
                "[places] takes one of countries or of cities, such as GeoLite2-Country.mmdb");
  }
  return std::unique_ptr<Places>(new Places(std::move(opened)));
}

std::optional<std::string> Places::country_of(const Address& address) const {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (address.is_v4()) {
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, address.raw().data(), sizeof v4.sin_addr);
  } else {
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_addr, address.raw().data(), sizeof v6.sin6_addr);
  }
  const auto* name = address.is_v4() ? reinterpret_cast<const sockaddr*>(&v4)   // NOLINT: as sockets have it
                                     : reinterpret_cast<const sockaddr*>(&v6);  // NOLINT
  int status = MMDB_SUCCESS;
  const MMDB_lookup_result_s found = MMDB_lookup_sockaddr(&database_->mmdb, name, &status);
  if (status != MMDB_SUCCESS || !found.found_entry) return std::nullopt;  // IPv6 in a database of IPv4, say
  return country_in(found.entry).value_or(std::nullopt);
}

}  // namespace cordon::controller
