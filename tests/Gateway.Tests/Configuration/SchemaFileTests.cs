using System.Text.RegularExpressions;
using Gateway.Configuration;
using Gateway.Discovery.EmbeddedCatalog;

namespace Gateway.Tests.Configuration;

public sealed partial class SchemaFileTests
{
    private static readonly string[] s_lines = File.ReadAllLines(FindFile());

    [Fact]
    public void The_shipped_file_is_clean_and_equals_the_defaults()
    {
        ConfigurationResult shipped = ConfigurationTesting.Read(string.Join('\n', s_lines));
        Assert.Empty(shipped.Diagnostics);
        Assert.Equal(ConfigurationTesting.Options(""), shipped.Options! with { MaxConnectionsPlace = "default" });
    }

    [Fact]
    public void The_shipped_file_has_every_key_of_the_schema()
    {
        DiagnosticList problems = new();
        YamlMap all = YamlTreeReader.Read(Whole(), "all", problems)!;
        Assert.Empty(problems.InOrder());
        Assert.All(Schema.KeyPaths, path =>
        {
            YamlNode? node = all;
            foreach (string key in path.Split('.'))
            {
                node = ((YamlMap)node!).Find(key)?.Value;
                Assert.True(node is not null, $"{path} is not in config/gateway.yaml");
            }
        });
    }

    [Fact]
    public void With_everything_commented_in_only_what_is_not_built_yet_is_refused()
    {
        string all = Whole().Replace("listen: 127.0.0.1:8500", "listen: 127.0.0.1:8501", StringComparison.Ordinal);
        IEnumerable<Diagnostic> errors = ConfigurationTesting.Read(all).Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error);
        Assert.All(errors, e => Assert.Contains("not built yet", e.Message, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_key_of_the_shipped_file_has_a_comment_above_it()
    {
        string[] bare =
        [
            .. s_lines.Where((line, i) => Key().IsMatch(line) && !(i > 0 && s_lines[i - 1].TrimStart().StartsWith("# ", StringComparison.Ordinal))),
        ];
        Assert.Empty(bare);
    }

    [Fact]
    public void Defaults_of_the_schema_are_the_defaults_of_the_option_records() =>
        Assert.Equal(
            new GatewayOptions { Embedded = new EmbeddedCatalogOptions() },
            ConfigurationTesting.Options("") is var o ? o with { Planning = o.Planning with { Reserved = [] } } : null);

    /// <summary>The shipped file with every comment that is a key made active.</summary>
    internal static string Whole() => string.Join('\n', s_lines.Select(l => CommentedKey().Replace(l, "${indent}")));

    [GeneratedRegex(@"^(?<indent>\s*)#(?=\S)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex CommentedKey();

    [GeneratedRegex(@"^\s*#?[A-Za-z-]+:( |$)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Key();

    private static string FindFile()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Gateway.sln")))
        {
            directory = directory.Parent;
        }

        return Path.Combine(directory!.FullName, "config", "gateway.yaml");
    }
}
