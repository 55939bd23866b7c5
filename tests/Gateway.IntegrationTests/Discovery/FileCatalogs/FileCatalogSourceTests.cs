using System.Diagnostics;
using System.Globalization;
using Gateway.Catalog;
using Gateway.Discovery.FileCatalogs;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.Discovery.FileCatalogs;

/// <summary>Real files, real events: what is written arrives, what is broken changes nothing.</summary>
public sealed class FileCatalogSourceTests : IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("gateway-files-").FullName;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<CatalogSnapshot> _reports = [];
    private FileCatalogSource? _source;
    private Task? _watching;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        if (_watching is not null)
        {
            await _watching;
        }

        _stop.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task A_catalog_is_reported_at_first_even_if_it_is_empty()
    {
        Watch("*.yaml");
        await Until(() => _reports.Count == 1, "an empty catalog");
        Assert.Empty(Last.Services);
        Assert.True(_source!.Status.HasReported);
        Assert.NotNull(_source.Status.LastContact);
    }

    [Fact]
    public async Task Files_that_are_written_renamed_into_place_appended_and_removed_are_followed()
    {
        Write("a.yaml", Entry("web", 1));
        Watch("*.yaml");
        await Until(() => Ports() == "web:1", "the first file");

        // Renamed over, as careful writers do.
        Write("new.tmp", Entry("web", 2));
        File.Move(At("new.tmp"), At("a.yaml"), overwrite: true);
        await Until(() => Ports() == "web:2", "a renamed file");

        Write("b.yaml", Entry("db", 3));
        await Until(() => Ports() == "db:3 web:2", "a second file");
        Service web = Last.Services["web"];
        Write("b.yaml", Entry("db", 4));
        await Until(() => Ports() == "db:4 web:2", "a file written in place");
        Assert.Same(web, Last.Services["web"]);

        File.Delete(At("b.yaml"));
        await Until(() => Ports() == "web:2", "a removed file");
        Assert.Equal("1 file", _source!.Status.Mode);
    }

    [Fact]
    public async Task A_broken_file_keeps_what_it_held_and_a_bad_entry_keeps_its_neighbours()
    {
        Write("a.yaml", Entry("web", 1));
        Write("b.yaml", Entry("db", 2));
        Watch("*.yaml");
        await Until(() => Ports() == "db:2 web:1", "both");

        Write("a.yaml", "services:\n  - name: [\n");
        await Until(() => _source!.Status.Problems.Count == 1, "the problem");
        Assert.Equal("catalog-file-syntax", _source!.Status.Problems[0].Code);
        Assert.StartsWith(At("a.yaml") + ":", _source.Status.Problems[0].Place, StringComparison.Ordinal);

        Write("b.yaml", Entry("db", 3) + "- { name: bad, addres: x, address: h, port: 1 }\n");
        await Until(() => Ports() == "db:3 web:1", "the other file goes on");
        Assert.Contains(_source.Status.Problems, p => p.Place == At("b.yaml") + ":3:16" && p.Value == "addres");

        // Empty, as an editor leaves it for a moment, is broken too.
        Write("a.yaml", "");
        await Until(() => _source.Status.Problems.Any(p => p.Value == "an empty file"), "an empty file is no empty catalog");
        Assert.Equal("db:3 web:1", Ports());

        Write("a.yaml", Entry("web", 9));
        Write("b.yaml", Entry("db", 3));
        await Until(() => Ports() == "db:3 web:9" && _source.Status.Problems.Count == 0, "all is well");
    }

    [Fact]
    public async Task A_file_that_grows_while_it_is_written_is_never_taken_for_less()
    {
        string whole = "services:\n" + string.Concat(Enumerable.Range(0, 200).Select(i => $"- {{ name: s{i:000}, address: h, port: {i + 1} }}\n"));
        Write("a.yaml", whole);
        Watch("*.yaml");
        await Until(() => _reports.Count > 0 && Last.Services.Count == 200, "all");

        for (int round = 0; round < 3; round++)
        {
            await using FileStream file = new(At("a.yaml"), FileMode.Create, FileAccess.Write, FileShare.ReadWrite);
            foreach (string line in whole.Replace("address: h", $"address: h{round}", StringComparison.Ordinal).Split('\n'))
            {
                await file.WriteAsync(System.Text.Encoding.UTF8.GetBytes(line + "\n"));
                await file.FlushAsync();
            }

            file.Close();
            await Until(() => Last.Services["s199"].Instances[0].Address == $"h{round}", "the new content");
        }

        Assert.All(_reports, r => Assert.Equal(200, r.Services.Count));
    }

    [Fact]
    public async Task A_file_named_outright_may_come_later_and_keeps_what_it_held_when_it_goes()
    {
        Watch("later.yaml");
        await Until(() => _source!.Status.Problems.Any(p => p.Code == "catalog-file-missing"), "it is missed");
        Write("later.yaml", Entry("web", 1));
        await Until(() => _reports.Count > 0 && Ports() == "web:1", "it came");
        File.Delete(At("later.yaml"));
        await Until(() => _source!.Status.Problems.Any(p => p.Code == "catalog-file-missing"), "it is missed again");
        Assert.Equal("web:1", Ports());
    }

    [Fact]
    public async Task A_folder_may_come_later_by_the_poll()
    {
        Watch("sub/*.yaml");
        await Until(() => _source!.Status.Problems.Any(p => p.Code == "catalog-folder-missing"), "the folder is missed");
        Directory.CreateDirectory(At("sub"));
        Write("sub/a.yaml", Entry("web", 1));
        await Until(() => Ports() == "web:1", "it came");
    }

    [Fact]
    public async Task An_id_in_two_files_is_a_problem_of_the_second()
    {
        Write("a.yaml", Entry("web", 1));
        Write("b.yaml", Entry("web", 2));
        Watch("*.yaml");
        await Until(() => Ports() == "web:1", "the first stands");
        Assert.Equal(At("b.yaml"), Assert.Single(_source!.Status.Problems).Place);
    }

    private static string Entry(string name, int port) => $"services:\n- {{ name: {name}, address: 10.0.0.1, port: {port} }}\n";

    private CatalogSnapshot Last
    {
        get
        {
            lock (_reports)
            {
                return _reports[^1];
            }
        }
    }

    private string At(string name) => Path.Combine(_directory, name);

    private void Write(string name, string text) => File.WriteAllText(At(name), text);

    private string Ports() => _reports.Count == 0 ? ""
        : string.Join(' ', Last.Services.Values.SelectMany(s => s.Instances).Select(i => $"{i.Service}:{i.Port}"));

    private void Watch(string pattern)
    {
        _source = new FileCatalogSource(
            "files", new FileCatalogOptions { Paths = [At(pattern)] }, TimeProvider.System, NullLogger.Instance);
        _watching = Task.Run(() => _source.WatchAsync(
            snapshot =>
            {
                lock (_reports)
                {
                    _reports.Add(snapshot);
                }
            },
            _stop.Token));
    }

    private static async Task Until(Func<bool> condition, string what)
    {
        double stretch = double.TryParse(
            Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH"), CultureInfo.InvariantCulture, out double given) ? given : 1;
        Stopwatch clock = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(30) * stretch, $"not reached: {what}");
            await Task.Delay(10);
        }
    }
}
