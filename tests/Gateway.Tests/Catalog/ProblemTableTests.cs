using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using Gateway.Catalog;

namespace Gateway.Tests.Catalog;

/// <summary>
/// One table of codes: every code of ours is in it, every one in it is used, every problem says all that an operator needs, and the
/// README shows it. Where it asks about the code, it reads the sources.
/// </summary>
public sealed partial class ProblemTableTests
{
    private const string Begin = "<!-- problem codes -->\n";
    private const string End = "<!-- /problem codes -->";

    private static readonly Dictionary<string, string> s_constants = typeof(ProblemCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static)
        .ToDictionary(f => f.Name, f => (string)f.GetValue(null)!, StringComparer.Ordinal);

    private static readonly (string Path, string Text)[] s_sources =
    [
        .. Directory.EnumerateFiles(Path.Combine(Root(), "src", "Gateway"), "*.cs", SearchOption.AllDirectories)
            .Where(p => !p.Contains("/obj/", StringComparison.Ordinal) && !p.Contains("/bin/", StringComparison.Ordinal))
            .Select(p => (p, File.ReadAllText(p))),
    ];

    [Fact]
    public void Every_code_is_in_the_table_once_in_kebab_case_with_what_to_do()
    {
        Assert.Equal(s_constants.Values.Order(StringComparer.Ordinal), ProblemTable.All.Select(k => k.Code).Order(StringComparer.Ordinal));
        Assert.All(ProblemTable.All, kind =>
        {
            Assert.Matches("^[a-z0-9]+(-[a-z0-9]+)*$", kind.Code);
            Assert.False(string.IsNullOrWhiteSpace(kind.Means), kind.Code);
            Assert.False(string.IsNullOrWhiteSpace(kind.Do), kind.Code);
            Assert.DoesNotContain("|", kind.Means + kind.Do, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void Every_code_is_used()
    {
        string all = string.Join('\n', s_sources.Where(s => !IsTable(s.Path)).Select(s => s.Text));
        Assert.All(s_constants.Keys, name => Assert.True(
            Regex.IsMatch(all, $@"\bProblemCodes\.{name}\b"), $"nobody reports ProblemCodes.{name}"));
    }

    [Fact]
    public void No_problem_is_made_with_a_code_of_its_own()
    {
        List<string> wrong = [];
        foreach ((string path, string text) in s_sources.Where(s => !IsTable(s.Path)))
        {
            // 1. Code = "…" beside the table, and a code of the table that is written out.
            foreach (Match match in CodeLiteral().Matches(text))
            {
                wrong.Add($"{path}: {match.Value}: name a constant of ProblemCodes, and add it to ProblemTable");
            }

            wrong.AddRange(s_constants.Where(c => c.Value.Contains('-', StringComparison.Ordinal) && text.Contains($"\"{c.Value}\"", StringComparison.Ordinal))
                .Select(c => $"{path}: \"{c.Value}\" is ProblemCodes.{c.Key}"));

            // 2. A helper that takes a code is given a constant, never a word of the caller's.
            foreach (Match helper in CodeParameter().Matches(text))
            {
                string call = $@"\b{helper.Groups[1].Value}\((?:[^;""]|""(?![a-z]+(-[a-z0-9]+)+""))*?""([a-z]+(?:-[a-z0-9]+)+)""";
                wrong.AddRange(Regex.Matches(text, call).Select(m => $"{path}: {helper.Groups[1].Value}(… {m.Groups[2].Value} …)"));
            }
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Fact]
    public void Every_problem_says_what_is_allowed()
    {
        int seen = 0;
        List<string> wrong = [];
        foreach ((string path, string text) in s_sources)
        {
            foreach (Match match in CodeInitializer().Matches(text))
            {
                string initializer = Block(text, match.Index);
                bool problem = initializer.Contains("Place =", StringComparison.Ordinal) && initializer.Contains("Now =", StringComparison.Ordinal)
                    && !initializer.Contains("What =", StringComparison.Ordinal);
                seen += problem ? 1 : 0;
                if (problem && !initializer.Contains("Allowed =", StringComparison.Ordinal))
                {
                    wrong.Add($"{path}: {match.Value.Trim()} has no Allowed");
                }
            }
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.True(seen >= 25, $"only {seen} problems were found in the sources: has the way they are written changed?");
    }

    [Fact]
    public void The_readme_shows_the_table()
    {
        string path = Path.Combine(Root(), "README.md");
        string readme = File.ReadAllText(path);
        int begin = readme.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length, end = readme.IndexOf(End, StringComparison.Ordinal);
        Assert.True(begin >= Begin.Length && end >= begin, "README.md has no place for the codes");
        StringBuilder table = new("| code | is | whose | means | do |\n|---|---|---|---|---|\n");
        foreach (ProblemKind kind in ProblemTable.All)
        {
            table.Append('|').Append(' ').Append('`').Append(kind.Code).Append("` | ").Append(kind.Severity.ToString().ToLowerInvariant()).Append(" | ")
                .Append(kind.Fault.ToString().ToLowerInvariant()).Append(" | ").Append(kind.Means).Append(" | ").Append(kind.Do).Append(" |\n");
        }

        if (Environment.GetEnvironmentVariable("GATEWAY_UPDATE_CASES") == "1")
        {
            File.WriteAllText(path, readme[..begin] + table + readme[end..]);
            return;
        }

        Assert.Equal(table.ToString(), readme[begin..end]);
    }

    [Fact]
    public void A_code_of_an_embedding_program_is_spoken_of_in_general()
    {
        ProblemKind kind = ProblemTable.Find("marathon-asleep");
        Assert.Equal("marathon-asleep", kind.Code);
        Assert.NotEmpty(kind.Do);
    }

    private static bool IsTable(string path) =>
        path.EndsWith("/Catalog/ProblemCodes.cs", StringComparison.Ordinal) || path.EndsWith("/Catalog/ProblemTable.cs", StringComparison.Ordinal);

    // From the brace that opens the initializer around an index to the one that closes it.
    private static string Block(string text, int at)
    {
        int depth = 0, begin = at, end = at;
        for (; begin > 0 && depth <= 0; begin--)
        {
            depth += text[begin] == '{' ? 1 : text[begin] == '}' ? -1 : 0;
        }

        depth = 1;
        for (; end < text.Length && depth > 0; end++)
        {
            depth += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
        }

        return text[begin..end];
    }

    private static string Root()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Gateway.sln")))
        {
            directory = directory.Parent;
        }

        return directory!.FullName;
    }

    [GeneratedRegex("""\bCode = \$?"[^"]*""")]
    private static partial Regex CodeLiteral();

    [GeneratedRegex("""\bCode = [\w.!]+""")]
    private static partial Regex CodeInitializer();

    [GeneratedRegex("""\b(\w+)\((?:[^()]*,\s*)?string code\b""")]
    private static partial Regex CodeParameter();
}
