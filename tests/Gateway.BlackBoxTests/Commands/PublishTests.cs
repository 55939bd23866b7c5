using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Commands;

/// <summary>
/// SPEC §1. Goal: <c>dotnet publish src/Gateway.Cli -c Release -o DIR</c>, no further switch, leaves one file that runs. Method: publish
/// a copy of the sources, so that this build and that one do not meet, and run it from another folder.
/// </summary>
[Collection(Alone.Name)]
public sealed class PublishTests
{
    [Fact]
    public async Task Published_program_is_one_file_that_runs_from_anywhere()
    {
        string folder = Directory.CreateTempSubdirectory("gwp-").FullName;
        try
        {
            string sources = Path.Combine(folder, "sources"), published = Path.Combine(folder, "published");
            Copy(sources);
            CommandResult publish = await ChildProcess.Run(
                "dotnet",
                ["publish", "src/Gateway.Cli", "-c", "Release", "-o", published, "--nologo", "-v", "q", "-nodeReuse:false", "-p:RunAnalyzers=false"],
                folder: sources, seconds: 300);
            Assert.True(publish.Exit == 0, publish.All);
            Assert.Equal(["gateway"], Directory.GetFileSystemEntries(published).Select(Path.GetFileName));
            CommandResult help = await ChildProcess.Run(
                Path.Combine(published, "gateway"), ["--help"], new Dictionary<string, string?> { ["DOTNET_ROOT"] = Repository.DotnetRoot }, folder: "/");
            Assert.True(help.Exit == 0, help.All);
            Assert.Contains("run", help.Out, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Copy(string to)
    {
        IEnumerable<string> files = Directory.EnumerateFiles(Repository.Root, "Directory.*")
            .Concat([Path.Combine(Repository.Root, "global.json"), Path.Combine(Repository.Root, ".editorconfig")])
            .Concat(Directory.EnumerateFiles(Path.Combine(Repository.Root, "src"), "*", SearchOption.AllDirectories));
        foreach (string file in files)
        {
            string relative = Path.GetRelativePath(Repository.Root, file);
            if (relative.Split('/').Any(part => part is "bin" or "obj"))
            {
                continue;
            }

            string target = Path.Combine(to, relative);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }
}
