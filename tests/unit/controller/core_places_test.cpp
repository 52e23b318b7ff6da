// Countries of addresses: what the database says, and what is wrong with a file that is none.
#include "controller/core/places.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "controller/core/runtime.h"
#include "tests/support/country_database.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace core_places_test {

using namespace test;

class PlacesFile : public ::testing::Test {
 protected:
  Result<std::unique_ptr<Places>> open(const std::string& bytes) {
    must(write_file(file, bytes));
    return Places::open(file);
  }
  static std::optional<std::string> country(const Places& places, const std::string& address) {
    return places.country_of(must(Address::parse(address)));
  }

  TempDir dir;
  const std::filesystem::path file = dir / "countries.mmdb";
};

CountryDatabase some() {
  CountryDatabase database;
  database.add("198.51.100.0/24", "TW").add("203.0.113.0/28", "JP", "registered_country");
  return database.add("2001:db8:7::/48", "DE");
}

TEST_F(PlacesFile, KnowsBothFamilies) {
  const auto places = must(open(some().bytes()));
  EXPECT_EQ(country(*places, "198.51.100.20"), "TW");
  EXPECT_EQ(country(*places, "2001:db8:7::1"), "DE");
  EXPECT_EQ(country(*places, "203.0.113.15"), "JP") << "it is registered there, if nothing else is known";
  for (const char* unknown : {"198.51.101.1", "203.0.113.16", "2001:db8:8::1", "::1", "10.0.0.1", "0.0.0.0"})
    EXPECT_EQ(country(*places, unknown), std::nullopt) << unknown;
  EXPECT_EQ(places->version(), "Test-Country 1800000000");
}

TEST_F(PlacesFile, WhereAnAddressIsUsedComesBeforeWhereItIsRegistered) {
  const auto code = [](const char* text) {
    return CountryDatabase::map(1) + CountryDatabase::text("iso_code") + CountryDatabase::text(text);
  };
  CountryDatabase database;
  database.add_data("192.0.2.0/24", CountryDatabase::map(2) + CountryDatabase::text("registered_country") +
                                        code("US") + CountryDatabase::text("country") + code("TW"));
  EXPECT_EQ(country(*must(open(database.bytes())), "192.0.2.1"), "TW");
}

TEST_F(PlacesFile, OnlyCodesAreCountries) {
  const auto places = must(open(some().add("192.0.2.0/25", "tw").add("192.0.2.128/25", "Taiwan").bytes()));
  EXPECT_EQ(country(*places, "192.0.2.1"), std::nullopt);
  EXPECT_EQ(country(*places, "192.0.2.129"), std::nullopt);
}

TEST_F(PlacesFile, OfIpv4AloneKnowsNoIpv6) {
  const auto places = must(open(CountryDatabase("Test-4", 5, 4).add("198.51.100.0/24", "TW").bytes()));
  EXPECT_EQ(country(*places, "198.51.100.20"), "TW");
  EXPECT_EQ(country(*places, "2001:db8:7::1"), std::nullopt);
  EXPECT_EQ(places->version(), "Test-4 5");
}

TEST_F(PlacesFile, ThatIsReplacedOrCutChangesNothingUntilTheNextStart) {
  const auto places = must(open(some().bytes()));
  std::filesystem::resize_file(file, 0);
  EXPECT_EQ(country(*places, "198.51.100.20"), "TW");
}

/// The file and the mend are named.
void expect_told(const Result<std::unique_ptr<Places>>& places, const std::filesystem::path& file,
                 const std::string& why) {
  ASSERT_FALSE(places) << why;
  const std::string message = places.error().message();
  EXPECT_NE(message.find(file.string()), std::string::npos) << message;
  EXPECT_NE(message.find("[places]"), std::string::npos) << message;
  EXPECT_FALSE(places.error().hint.empty()) << message;
  EXPECT_NE(message.find(why), std::string::npos) << message;
}

TEST_F(PlacesFile, ThatIsNoDatabaseOfCountriesIsRefused) {
  expect_told(Places::open(file), file, "No such file");
  expect_told(Places::open(dir.path()), dir.path(), "");
  expect_told(open(""), file, "it is empty");
  expect_told(open("TW 198.51.100.0/24\n"), file, "is no database of countries");
  CountryDatabase networks("Test-ASN");
  networks.add_data("198.51.100.0/24", CountryDatabase::map(1) + CountryDatabase::text("operator") +
                                           CountryDatabase::text("Example Telecom"));
  expect_told(open(networks.bytes()), file, "of type \"Test-ASN\" that names no country");
  expect_told(open(CountryDatabase("Test\nCountry").add("198.51.100.0/24", "TW").bytes()), file,
              "its type is no plain text");
}

TEST_F(PlacesFile, ThatIsCutShortIsRefused) {
  const std::string whole = some().bytes();
  for (std::size_t size = 1; size < whole.size(); ++size)
    ASSERT_FALSE(open(whole.substr(0, size))) << size << " of " << whole.size();
}

TEST_F(PlacesFile, WithABrokenTreeOrEntryIsRefused) {
  std::string bytes = some().bytes();
  bytes.replace(0, 3, "\xff\xff\xff");
  expect_told(open(bytes), file, "its search tree is broken");
  bytes = some().bytes();
  const auto entry = bytes.find(
      "\xe1\x47"
      "country");
  ASSERT_NE(entry, std::string::npos);
  bytes[entry] = '\xff';  // a map of thousands, of which the file has few
  expect_told(open(bytes), file, "is no database of countries");
}

TEST_F(PlacesFile, WithAnyByteDamagedIsRefusedOrRead) {
  const std::string whole = some().bytes();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(~bytes[i]);
    const auto places = open(bytes);
    if (!places) continue;
    for (const char* address : {"198.51.100.20", "203.0.113.15", "2001:db8:7::1", "192.0.2.1"}) {
      const auto found = country(**places, address);
      EXPECT_TRUE(!found || found->size() == 2) << i;
    }
  }
}

TEST_F(PlacesFile, AControllerDoesNotStartWithoutTheOneItIsToldOf) {
  const ControllerConfig config{.name = "c1",
                                .trust_domain = "acme.example",
                                .state_directory = dir / "state",
                                .run_directory = dir / "run",
                                .places_database = file};
  const auto started = start_controller(config);
  ASSERT_FALSE(started);
  const std::string message = started.error().message();
  EXPECT_NE(message.find(file.string()), std::string::npos) << message;
  EXPECT_NE(message.find("take \"database\" out of [places]"), std::string::npos) << message;
}

}  // namespace core_places_test
}  // namespace cordon::controller
