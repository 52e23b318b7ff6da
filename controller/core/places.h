#pragma once
// Which country an address is in, from a database in MaxMind's format
// (https://maxmind.github.io/MaxMind-DB/): GeoLite2-Country.mmdb, or one of cities.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace cordon::controller {

class Places {
 public:
  /// Takes the file into memory and looks at all of it, so that damage is told here and now; a file that is
  /// replaced later counts from the next start.
  static Result<std::unique_ptr<Places>> open(const std::filesystem::path& database);
  ~Places();

  /// ISO 3166 code of the country the address is used in, else of the one it is registered in; none for
  /// addresses that the database doesn't know.
  std::optional<std::string> country_of(const Address& address) const;
  /// Type and build epoch, as its metadata say: "GeoLite2-Country 1800000000". At most 128 bytes.
  const std::string& version() const { return version_; }

 private:
  struct Database;
  explicit Places(std::unique_ptr<Database> database);

  std::unique_ptr<Database> database_;
  std::string version_;
};

}  // namespace cordon::controller
