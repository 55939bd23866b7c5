using System.Reflection;
using System.Runtime.CompilerServices;

namespace Gateway.Tests;

/// <summary>
/// Keeps the list of everything that embedding programs can see in <c>src/Gateway/PublicApi.txt</c>, so that a change of it shows
/// up in review. <c>GATEWAY_UPDATE_CASES=1</c> rewrites the file.
/// </summary>
public sealed class PublicApiTests
{
    [Fact]
    public void Public_surface_is_the_one_on_file()
    {
        string path = Path.Combine(Repository(), "src", "Gateway", "PublicApi.txt");
        string now = string.Join('\n', Lines()) + "\n";
        if (Environment.GetEnvironmentVariable("GATEWAY_UPDATE_CASES") == "1")
        {
            File.WriteAllText(path, now);
        }

        Assert.Equal(File.ReadAllText(path), now);
    }

    private static IEnumerable<string> Lines()
    {
        foreach (Type type in typeof(GatewayHost).Assembly.GetExportedTypes().OrderBy(t => t.FullName, StringComparer.Ordinal))
        {
            string kind = type.IsEnum ? "enum" : type.IsInterface ? "interface" : type.IsValueType ? "struct" : "class";
            yield return $"{kind} {Name(type)}";
            foreach (string member in Members(type).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
            {
                yield return $"  {member}";
            }
        }
    }

    // What the compiler writes for records and generated serializers says nothing about intent.
    private static IEnumerable<string> Members(Type type)
    {
        if (type.IsEnum)
        {
            return Enum.GetNames(type);
        }

        if (typeof(System.Text.Json.Serialization.JsonSerializerContext).IsAssignableFrom(type))
        {
            return [];
        }

        const BindingFlags Own = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        bool record = type.GetMethod("<Clone>$") is not null || type.GetMethod("PrintMembers", BindingFlags.NonPublic | BindingFlags.Instance) is not null;
        return type.GetMembers(Own)
            .Where(m => m.GetCustomAttribute<CompilerGeneratedAttribute>() is null || m is FieldInfo)
            .Where(m => !(record && m.Name is "Equals" or "GetHashCode" or "ToString" or "Deconstruct" or "op_Equality" or "op_Inequality" or "<Clone>$"))
            .Select(Describe)
            .OfType<string>();
    }

    private static string? Describe(MemberInfo member) => member switch
    {
        PropertyInfo p => $"{Name(p.PropertyType)} {p.Name} {{ {(p.CanRead ? "get; " : "")}{(p.CanWrite ? "set; " : "")}}}",
        FieldInfo f => $"{Name(f.FieldType)} {f.Name}",
        ConstructorInfo c => $".ctor({Parameters(c)})",
        MethodInfo { IsSpecialName: false } m => $"{Name(m.ReturnType)} {m.Name}({Parameters(m)})",
        EventInfo e => $"event {Name(e.EventHandlerType!)} {e.Name}",
        _ => null,
    };

    private static string Parameters(MethodBase method) => string.Join(", ", method.GetParameters().Select(p => $"{Name(p.ParameterType)} {p.Name}"));

    private static string Name(Type type) => type.IsGenericType
        ? $"{(type.FullName ?? type.Name).Split('`')[0]}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : type.IsGenericParameter ? type.Name : type.FullName ?? type.Name;

    private static string Repository([CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(FindSource(here))!, "..", ".."));

    // A deterministic build maps source paths, so the repository is found from the binary instead.
    private static string FindSource(string here)
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "tests", "Gateway.Tests", "PublicApiTests.cs");
            if (File.Exists(candidate))
            {
                return candidate;
            }
        }

        return here;
    }
}
